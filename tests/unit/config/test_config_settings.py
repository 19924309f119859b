"""Settings: where they may stand, which source wins, and what is said of a bad one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from streamsampler.config import OWNED_PROPERTIES, ConfigError, Settings, load_settings
from streamsampler.sampler import Limits
from streamsampler.store import StoreSettings

BROKER = "127.0.0.1:9092"
ADDRESSES = "the brokers' addresses, such as 127.0.0.1:9092."
MINIMAL = f"kafka: {{bootstrap.servers: '{BROKER}'}}\n"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMSAMPLER_TEST_BOOTSTRAP", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "streamsampler.yaml"


def refusal(file: Path | None, *flags: str) -> str:
    with pytest.raises(ConfigError) as refused:
        load_settings(file, flags)
    return str(refused.value)


def test_the_brokers_are_all_that_must_be_said(file: Path) -> None:
    file.write_text(MINIMAL)
    settings = load_settings(file)
    assert settings.bootstrap == BROKER
    assert settings.guarantee == "exactly_once"
    assert settings.group_id == "streamsampler"
    assert settings.topics.input == "otlp_spans"


def test_the_defaults_are_the_engines() -> None:
    settings = Settings(kafka={"bootstrap.servers": BROKER})
    limits, memory = Limits(), StoreSettings()
    assert settings.limits.spans_per_trace == limits.spans_per_trace
    assert settings.limits.bytes_per_trace == limits.bytes_per_trace
    assert settings.limits.decisions == limits.decisions
    assert settings.limits.spans_out == limits.spans_out
    assert settings.limits.buffered_spans == limits.buffered_spans
    assert settings.limits.buffered_bytes == limits.buffered_bytes
    assert settings.output.max_record_bytes == limits.max_record_bytes
    assert settings.store.block_bytes == limits.block_bytes
    assert settings.store.block_cache_bytes == memory.block_cache_bytes
    assert settings.store.write_buffer_bytes == memory.write_buffer_bytes


def test_flags_win_over_the_environment_and_that_over_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(MINIMAL + "limits: {spans_per_trace: 1, bytes_per_trace: 1, decisions: 1}\n")
    monkeypatch.setenv("STREAMSAMPLER_LIMITS__SPANS_PER_TRACE", "2")
    monkeypatch.setenv("STREAMSAMPLER_LIMITS__BYTES_PER_TRACE", "2")
    limits = load_settings(file, ["limits.bytes_per_trace=3"]).limits
    assert (limits.decisions, limits.spans_per_trace, limits.bytes_per_trace) == (1, 2, 3)


def test_any_property_of_the_client_passes_through(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(
        f"kafka:\n  bootstrap.servers: {BROKER}\n  enable.ssl.certificate.verification: true\n"
        "  socket.timeout.ms: 5000\n"
    )
    monkeypatch.setenv("STREAMSAMPLER_KAFKA__SASL_PASSWORD", "no: yaml")
    monkeypatch.setenv("STREAMSAMPLER_KAFKA__LOG_LEVEL", "3")
    assert load_settings(file, ["kafka.fetch.wait.max.ms=7"]).kafka == {
        "bootstrap.servers": BROKER,
        "enable.ssl.certificate.verification": "true",
        "socket.timeout.ms": "5000",
        "sasl.password": "no: yaml",
        "log_level": "3",
        "fetch.wait.max.ms": "7",
    }


def test_without_a_file_the_environment_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMSAMPLER_KAFKA__BOOTSTRAP_SERVERS", BROKER)
    assert load_settings(None).bootstrap == BROKER


def test_what_is_set_for_another_program_is_passed_over(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(MINIMAL)
    monkeypatch.setenv("STREAMSAMPLER_SERVICE_HOST", "10.0.0.1")  # as Kubernetes sets them
    assert load_settings(file) == Settings(kafka={"bootstrap.servers": BROKER})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            "kafka: {}\n",
            "{file}:1:1: kafka.bootstrap.servers is missing; expected " + ADDRESSES,
        ),
        (
            MINIMAL + "limits:\n  spans_per_trac: 5\n",
            "{file}:3:3: limits.spans_per_trac is unknown; did you mean spans_per_trace?",
        ),
        (MINIMAL + "group: x\n", "{file}:2:1: group is unknown; did you mean group_id?"),
        (
            MINIMAL + "limits: {spans_per_trace: ten}\n",
            '{file}:2:10: limits.spans_per_trace is "ten": expected a whole number of at least 1.',
        ),
        (
            MINIMAL + "commit_interval_ms: 0\n",
            "{file}:2:1: commit_interval_ms is 0: expected a whole number of at least 1.",
        ),
        (
            MINIMAL + "log: {level: loud}\n",
            '{file}:2:7: log.level is "loud": expected debug, info, warning or error.',
        ),
        (
            MINIMAL + "policies: {without: nothing}\n",
            '{file}:2:12: policies.without is "nothing": expected wait, keep_all or drop_all.',
        ),
        (
            MINIMAL + "status_interval_ms: 0\n",
            "{file}:2:1: status_interval_ms is 0: expected a whole number of at least 1.",
        ),
        (MINIMAL + "log: loud\n", '{file}:2:1: log is "loud": expected a mapping.'),
        (
            MINIMAL + "topics: {output: otlp_spans}\n",
            "{file}:2:1: topics is a mapping: input and output are both called otlp_spans.",
        ),
        (
            MINIMAL + "kafka: {}\n",
            "{file}:2:1: the key 'kafka' is there twice, first in line 1; keep one.",
        ),
        ("- kafka\n", "{file}: expected settings as `name: value`."),
    ],
)
def test_a_bad_setting_is_told_in_one_sentence(file: Path, content: str, sentence: str) -> None:
    file.write_text(content)
    assert refusal(file) == sentence.format(file=file)


@pytest.mark.parametrize(
    "flag",
    [
        "http.token=4711",
        "kafka.sasl.password=[4711]",
        "forward.headers={key: 4711}",
        "forward.endpoint=https://user:4711@otlp.example",
        "telemetry.endpoint=user:4711@otlp.example:4317",
    ],
)
def test_no_secret_is_in_a_sentence(file: Path, flag: str) -> None:
    file.write_text(MINIMAL)
    sentence = refusal(file, flag)
    assert flag.partition("=")[0] in sentence
    assert "4711" not in sentence


def leaves(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of each setting."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, (*above, name))
        elif name != "kafka":
            yield (*above, name)


OTHERS: dict[str, tuple[str, object]] = {
    "topology.web_address": ("0.0.0.0:1", "0.0.0.0:1"),
    "http.address": ("0.0.0.0:1", "0.0.0.0:1"),
    "transaction_timeout_ms": ("1001", 1_001),
    "limits.soft_share": ("0.5", 0.5),
    "health.attributes": ('["order.id"]', ("order.id",)),
    "forward.headers": ('{"x-api-key": "k"}', {"x-api-key": "k"}),
    "telemetry.headers": ('{"x-api-key": "k"}', {"x-api-key": "k"}),
    "telemetry.commits_ratio": ("0.5", 0.5),
}
"""What to set and what comes of it, where another number or word will not do."""


def another(path: tuple[str, ...], default: Any) -> tuple[str, object]:
    """A value that is not the default."""
    name = ".".join(path)
    if name in OTHERS:
        return OTHERS[name]
    if isinstance(default, bool):
        return str(not default).lower(), not default
    if isinstance(default, int):
        return str(default + 1), default + 1
    words: tuple[str, ...] = get_args(annotation(path))
    if words and all(isinstance(word, str) for word in words):
        word = next(one for one in words if one != default)
        return word, word
    if Path in (annotation(path), *words):
        return "elsewhere", Path("elsewhere")
    return ("7", 7) if name == "topology.table_partitions" else ("another", "another")


def annotation(path: tuple[str, ...]) -> Any:
    model: Any = Settings
    for name in path[:-1]:
        model = model.model_fields[name].annotation
    return model.model_fields[path[-1]].annotation


@pytest.mark.parametrize("path", [*leaves(Settings)], ids=".".join)
def test_every_setting_is_also_a_variable_and_a_flag(
    file: Path, monkeypatch: pytest.MonkeyPatch, path: tuple[str, ...]
) -> None:
    def found(settings: Settings) -> object:
        value: object = settings
        for name in path:
            value = getattr(value, name)
        return value

    file.write_text(MINIMAL)
    default = found(load_settings(file))
    text, value = another(path, default)
    assert value != default
    assert found(load_settings(file, [f"{'.'.join(path)}={text}"])) == value
    monkeypatch.setenv("STREAMSAMPLER_" + "__".join(path).upper(), text)
    assert found(load_settings(file)) == value


@pytest.mark.parametrize("section", ["forward", "telemetry"])
def test_a_login_in_an_endpoint_is_sent_to_the_headers_of_its_section(
    file: Path, section: str
) -> None:
    file.write_text(MINIMAL)
    with pytest.raises(ConfigError) as error:
        load_settings(file, [f"{section}.endpoint=https://me:hunter2@collector:4318"])
    assert str(error.value) == (
        f"--set: {section}.endpoint holds a user or password; put it into {section}.headers, as "
        "Authorization."
    )


@pytest.mark.parametrize("name", OWNED_PROPERTIES)
def test_a_property_that_the_guarantee_rests_on_cannot_be_set(file: Path, name: str) -> None:
    file.write_text(f"kafka:\n  bootstrap.servers: {BROKER}\n  {name}: x\n")
    assert refusal(file).startswith(f"{file}:3:3: kafka.{name} cannot be set here: ")


def test_a_guarantee_that_cannot_be_given_is_refused(file: Path) -> None:
    file.write_text(MINIMAL + "guarantee: at_most_once\n")
    assert "expected exactly_once or at_least_once" in refusal(file)


def test_every_problem_is_told(file: Path) -> None:
    file.write_text("group: x\nlog: {level: loud}\n")
    assert len(refusal(file).splitlines()) == 3


def test_a_bad_variable_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(MINIMAL)
    monkeypatch.setenv("STREAMSAMPLER_LIMITS__SPANS_PER_TRACE", "ten")
    assert refusal(file).startswith("STREAMSAMPLER_LIMITS__SPANS_PER_TRACE: ")


def test_a_variable_that_is_no_json_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(MINIMAL)
    monkeypatch.setenv("STREAMSAMPLER_LIMITS", "{ten")
    assert refusal(file).startswith("environment: ")


@pytest.mark.parametrize("flag", ["limits", "=5", "limits.spans_per_trace=[", "limits.x=1"])
def test_a_bad_flag_is_named(file: Path, flag: str) -> None:
    file.write_text(MINIMAL)
    assert refusal(file, flag).startswith("--set")


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"kafka: \xff", "byte 7 is not UTF-8"), (b"kafka: {", "not readable as YAML")],
)
def test_a_file_that_is_no_yaml_is_named(file: Path, content: bytes, words: str) -> None:
    file.write_bytes(content)
    assert refusal(file).startswith(str(file))
    assert words in refusal(file)


def test_a_file_that_cannot_be_read_is_named(file: Path, tmp_path: Path) -> None:
    assert refusal(file) == f"{file}: cannot be read: No such file or directory."
    assert refusal(tmp_path) == f"{tmp_path}: cannot be read: Is a directory."


def test_a_worker_is_called_by_its_static_name() -> None:
    kafka = {"bootstrap.servers": BROKER}
    assert Settings(kafka=kafka, instance_id="pod-3").worker_id == "pod-3"
    assert Settings(kafka=kafka).worker_id != ""
