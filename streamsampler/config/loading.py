"""Settings from a YAML file, the environment and flags.

Flags win over ``STREAMSAMPLER_...`` variables, those over the file, the file over the defaults.
Two underscores in a variable's name go one level down: ``STREAMSAMPLER_LIMITS__SPANS_PER_TRACE``.
Under `kafka` a single one stands for a dot: ``STREAMSAMPLER_KAFKA__SASL_PASSWORD`` is
``sasl.password``.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource, SettingsError

from streamsampler.config.sections import LOGIN
from streamsampler.config.settings import PREFIX, Settings, is_secret
from streamsampler.policies.document import Document, read_document
from streamsampler.policies.errors import PolicyError
from streamsampler.policies.sentences import (
    did_you_mean,
    explain,
    fields_at,
    no_such_key,
    path_text,
)

OWNED_PROPERTIES: Final[Mapping[str, str]] = {
    "group.id": "set group_id instead",
    "group.protocol": "set group_protocol instead",
    "group.instance.id": "set instance_id instead",
    "auto.offset.reset": "set input.start and input.out_of_range instead",
    "enable.auto.commit": "the worker commits itself, as the guarantee rests on what it commits",
    "enable.auto.offset.store": "the worker commits itself",
    "enable.partition.eof": "the worker needs it to know when a partition is read to its end",
    "enable.idempotence": "the worker's guarantee needs it",
    "transactional.id": "it is made of group_id and instance_id, so that a worker that comes back "
    "ends the transaction that it left open",
    "transaction.timeout.ms": "set transaction_timeout_ms instead",
    "isolation.level": "the worker reads what is committed, and nothing else",
    "partition.assignment.strategy": "the worker's rebalancing is incremental (cooperative-sticky)",
}
"""librdkafka's properties that cannot be set, each with the reason or the setting to use."""


class ConfigError(ValueError):
    """Settings that cannot be used: a sentence for each, with its place and what was expected."""


def load_settings(file: Path | None, flags: Sequence[str] = ()) -> Settings:
    """Join file, environment and flags into settings.

    Args:
        file: A YAML file; None for none.
        flags: ``key=value`` each, with a dotted key (``limits.spans_per_trace=10``,
            ``kafka.linger.ms=5``) and a YAML value.

    Returns:
        The settings.

    Raises:
        ConfigError: Something in them cannot be used; says what, where and what was expected.
    """
    return trace_settings(file, flags).settings


@dataclass(frozen=True, slots=True)
class Traced:
    """Settings, and where each came from.

    Attributes:
        settings: The settings.
        origin: Of a setting, by its path: a file's line, a variable, ``--set`` or ``default``.
    """

    settings: Settings
    origin: Callable[[tuple[str, ...]], str]


def trace_settings(file: Path | None, flags: Sequence[str] = ()) -> Traced:
    """Join file, environment and flags into settings, and tell where each came from.

    Args:
        file: A YAML file; None for none.
        flags: As for `load_settings`.

    Returns:
        The settings and their origins.

    Raises:
        ConfigError: Something in them cannot be used; says what, where and what was expected.
    """
    document = _read_file(file) if file is not None else Document("settings", {})
    content = {} if document.value is None else document.value
    if not isinstance(content, dict):
        raise ConfigError(f"{document.source}: expected settings as `name: value`.")
    sources = _Sources(document, _read_environment(), _read_flags(flags))
    merged = _merged(_merged(content, sources.environment), sources.flags)
    problems = [*_slips(os.environ), *_kafka_problems(merged.setdefault("kafka", {}), sources)]
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        problems += [_sentence(problem, sources) for problem in error.errors()]
    if problems:
        raise ConfigError("\n".join(problems))
    return Traced(settings, sources.origin)


def _read_file(file: Path) -> Document:
    try:
        return read_document(file.read_text(encoding="utf-8"), str(file))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: byte {error.start} is not UTF-8; save it as UTF-8.") from error
    except PolicyError as error:
        raise ConfigError(str(error)) from error


def _read_environment() -> dict[str, Any]:
    try:
        values = EnvSettingsSource(Settings)()
    except SettingsError as error:
        raise ConfigError(f"environment: {error}; expected JSON or a variable a field.") from error
    kafka = values.get("kafka")
    if isinstance(kafka, dict):
        values["kafka"] = {_property_name(name): value for name, value in kafka.items()}
    return values


def _property_name(variable: str) -> str:
    # The one property that is set by a string and has an underscore of its own.
    return variable if variable == "log_level" else variable.replace("_", ".")


def _read_flags(flags: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for flag in flags:
        key, equals, text = flag.partition("=")
        if not (key and equals):
            raise ConfigError(f"--set {flag}: expected key=value, such as log.level=debug.")
        # A property of Kafka has dots of its own.
        path = key.split(".", 1) if key.startswith("kafka.") else key.split(".")
        try:
            value = read_document(text, f"--set {key}").value
        except PolicyError as error:
            raise ConfigError(str(error)) from error
        for part in reversed(path):
            value = {part: value}
        assert isinstance(value, dict)
        values = _merged(values, value)
    return values


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(value, dict) and isinstance(below, dict)
        merged[key] = _merged(below or {}, value) if both else value
    return merged


@dataclass(frozen=True, slots=True)
class _Sources:
    """Where each setting came from."""

    document: Document
    environment: Mapping[str, Any]
    flags: Mapping[str, Any]

    def origin(self, path: tuple[str, ...]) -> str:
        given = (self.flags, self.environment, self.document.value)
        return self.place(path) if any(_holds(one, path) for one in given) else "default"

    def place(self, path: tuple[str, ...]) -> str:
        if _holds(self.flags, path):
            return "--set"
        if _holds(self.environment, path):
            return PREFIX + "__".join(part.replace(".", "_").upper() for part in path)
        return self.document.cite(self.document.at(path, key=True))


def _slips(environment: Iterable[str]) -> list[str]:
    """Variables that look like a setting and are none.

    Others that begin alike are let be: Kubernetes makes some for each service, as
    ``STREAMSAMPLER_SERVICE_HOST``.
    """
    fields = [name.upper() for name in Settings.model_fields]
    problems = []
    for name in sorted(environment):
        if not name.startswith(PREFIX):
            continue
        field = name.removeprefix(PREFIX).split("__")[0]
        question = "" if field in fields else did_you_mean(field, fields)
        if question:
            problems.append(f"{name}: {field} is no setting; {question}")
    return problems


def _holds(values: object, path: tuple[str, ...]) -> bool:
    for part in path:
        if not isinstance(values, Mapping) or part not in values:
            return False
        values = values[part]
    return True


def _kafka_problems(kafka: object, sources: _Sources) -> list[str]:
    if not isinstance(kafka, Mapping):
        return []  # the model says so
    problems = [
        f"{sources.place(('kafka', name))}: kafka.{name} cannot be set here: {reason}."
        for name, reason in OWNED_PROPERTIES.items()
        if name in kafka
    ]
    if not kafka.get("bootstrap.servers"):
        problems.append(
            f"{sources.place(('kafka',))}: kafka.bootstrap.servers is missing; expected the "
            "brokers' addresses, such as 127.0.0.1:9092."
        )
    return problems


def _sentence(problem: ErrorDetails, sources: _Sources) -> str:
    path = tuple(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        finding = no_such_key(path[-1], fields_at(Settings, path[:-1]))
    elif problem["type"] == LOGIN:
        finding = f"holds a user or password; put it into {path[0]}.headers, as Authorization"
    elif is_secret(path):
        finding = "is not shown, and cannot be used: expected a string in quotes"
    else:
        finding = explain(problem, Settings)
    end = "" if finding.endswith("?") else "."
    return f"{sources.place(path)}: {path_text(path)} {finding}{end}"
