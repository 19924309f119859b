"""Settings: one typed model from a YAML file, the environment and flags.

Flags win over ``STREAMSAMPLER_...`` variables, those over the file, the file over the defaults.
Two underscores in a variable's name go one level down: ``STREAMSAMPLER_LIMITS__SPANS_PER_TRACE``.
Under `kafka` a single one stands for a dot: ``STREAMSAMPLER_KAFKA__SASL_PASSWORD`` is
``sasl.password``.
"""

import os
import re
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from streamsampler.policies.document import Document, read_document
from streamsampler.policies.errors import PolicyError
from streamsampler.policies.sentences import (
    did_you_mean,
    explain,
    fields_at,
    no_such_key,
    path_text,
)

PREFIX: Final = "STREAMSAMPLER_"

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


_SECRET: Final = re.compile(
    r"(password|passphrase|secret|token|private|jaas|kinit|oauthbearer\.config|\.pem$)"
)


class ConfigError(ValueError):
    """Settings that cannot be used: a sentence for each, with its place and what was expected."""


def is_secret(path: Sequence[str]) -> bool:
    """Tell whether a setting's value is nobody's business.

    Args:
        path: Of the setting, such as ``("kafka", "sasl.password")``.

    Returns:
        Whether it is to be masked wherever settings are shown or found fault with.
    """
    name = path[-1]
    return "headers" in path[:-1] or (bool(_SECRET.search(name)) and not name.endswith(".url"))


def _property_value(value: object) -> object:
    """A string, as librdkafka takes them; a YAML boolean is the word in lower case."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


PropertyValue = Annotated[str, BeforeValidator(_property_value)]
Positive = Annotated[int, Field(ge=1, description="a whole number of at least 1")]
NotNegative = Annotated[int, Field(ge=0, description="a whole number of at least 0")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Topics(_Section):
    """The names of the topics."""

    input: str = "otlp_spans"
    output: str = "otlp_spans_sampled"
    decisions: str = "streamsampler.decisions"
    policies: str = "streamsampler.policies"
    sketches: str = "streamsampler.sketches"
    tables: str = "streamsampler.tables"
    status: str = "streamsampler.status"
    dead_letters: str = "streamsampler.dlq"

    @model_validator(mode="after")
    def _all_differ(self) -> Self:
        first: dict[str, str] = {}
        for use, name in self:
            if name in first:
                raise ValueError(f"{first[name]} and {use} are both called {name}")
            first[name] = use
        return self


class Input(_Section):
    """How the input topic is read.

    Attributes:
        format: What the records' values are; a name in `spans.formats.FORMATS`.
        start: Where a group without a committed offset begins.
        out_of_range: What to do where records were deleted before they were read: go on at the
            `earliest` record left, say so and count the offsets skipped, or `stop` with a sentence.
    """

    format: str = "otlp_proto"
    start: Literal["earliest", "latest"] = "earliest"
    out_of_range: Literal["stop", "earliest"] = "earliest"


class Output(_Section):
    """How kept traces are written.

    Attributes:
        max_record_bytes: A kept trace larger than this is split over several records. Key, headers
            and framing come on top, and together they must fit the topic's max.message.bytes.
        sampling_attributes: Whether kept spans get the attributes sampling.policy and
            sampling.adjusted_count.
    """

    max_record_bytes: Positive = 950_000
    sampling_attributes: bool = False


class Store(_Section):
    """Where and how buffered spans are kept on disk.

    Attributes:
        path: A folder; each worker process has its own inside.
        block_bytes: Size of a block of records, uncompressed.
        block_cache_bytes: For blocks that are read back.
        write_buffer_bytes: RocksDB's memtables.
        kept_bytes: Blocks of partitions that others own now are kept for their return, up to so
            many bytes; the oldest go first.
        kept_ms: And for so long.
    """

    path: Path = Path("data")
    block_bytes: Positive = 262_144
    block_cache_bytes: Positive = 64 << 20
    write_buffer_bytes: Positive = 256 << 20
    kept_bytes: NotNegative = 4 << 30
    kept_ms: NotNegative = 600_000


class Bounds(_Section):
    """What may be buffered and remembered.

    Attributes:
        spans_per_trace: A trace with so many spans is decided at once.
        bytes_per_trace: Likewise for so many bytes.
        buffered_spans: With more spans than this in the worker, the oldest traces are decided
            early.
        buffered_bytes: Likewise for so many bytes.
        soft_share: Over this share of either, partitions that are ahead wait for the one behind.
        decisions: Past decisions that are remembered for each partition.
        spans_out: Spans of kept traces that are remembered for each partition, so that a copy
            that comes late is known for one.
    """

    spans_per_trace: Positive = 50_000
    bytes_per_trace: Positive = 64 << 20
    buffered_spans: Positive = 20_000_000
    buffered_bytes: Positive = 16 << 30
    soft_share: Annotated[float, Field(gt=0, le=1, description="a share above 0, at most 1")] = 0.8
    decisions: Positive = 1_000_000
    spans_out: Positive = 1_000_000


class Health(_Section):
    """What workers tell the control plane of services, and of pairs of services.

    Attributes:
        one_in: One decided trace in so many is read for it, and counted so many times; 0: none.
        oversized_bytes: A span attribute of more bytes, its key included, is too large.
        attributes: Keys that each span by which a service is called should have, on the span or on
            its resource.
    """

    one_in: NotNegative = 64
    oversized_bytes: Positive = 4_096
    attributes: Annotated[
        tuple[str, ...], Field(strict=False, description="a list of attribute keys")
    ] = ()


class Policies(_Section):
    """What to go by where the policies topic gives nothing.

    Attributes:
        without: What a worker does that finds no policy set at its start, neither on the topic nor
            in `policies_file`. `wait` for one, not ready and taking nothing in; `keep_all` or
            `drop_all` until there is one.
    """

    without: Literal["wait", "keep_all", "drop_all"] = "wait"


class Http(_Section):
    """Where the worker tells of itself: /livez, /readyz, /status and /metrics.

    Attributes:
        address: Host and port; of several workers of one command each has the next port. Port 0
            takes any that is free. None: nowhere.
        token: What a client must say to see /status, as a bearer token; empty: nothing. Health and
            metrics are for whoever reaches them.
    """

    address: str | None = "127.0.0.1:9478"
    token: str = ""


class Topology(_Section):
    """The control plane: what `streamsampler topology` goes by.

    Attributes:
        path: A folder for the apps' tables, each instance its own; None: in memory, and read back
            from Kafka at each start.
        web_address: Host and port of /progress, and of /health/ where that app runs.
        publish_ms: Wall time between two tables of thresholds or health.
        window_ms: How much stream time thresholds, rates and health speak of.
        reference_ms: How far back the figures reach that thresholds are compared with.
        table_partitions: How many partitions the sketches topic is expected to have; None: as many
            as it has.
    """

    path: Path | None = Path("data/topology")
    web_address: str = "127.0.0.1:6066"
    publish_ms: Positive = 5_000
    window_ms: Positive = 300_000
    reference_ms: Positive = 3_600_000
    table_partitions: Positive | None = None


_LOGIN: Final = "login"


def _without_login(endpoint: str) -> str:
    """An endpoint is shown and logged, so that no password may be in it."""
    if "@" in endpoint.rpartition("://")[2].partition("/")[0]:
        # No ValueError, whose sentence would show the value.
        raise PydanticCustomError(_LOGIN, "a login")
    return endpoint


class EndpointTls(_Section):
    """How an OTLP endpoint is trusted, and trusts us.

    Attributes:
        ca_file: Whom to trust, PEM; None: the system's.
        cert_file: For mutual TLS, PEM.
        key_file: Its key.
        insecure: gRPC without TLS; ``http://`` before the endpoint says the same.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    insecure: bool = False


class Forward(_Section):
    """What `streamsampler forward` goes by.

    Attributes:
        endpoint: Where kept traces go; over HTTP a URL, to which /v1/traces is added where it is
            missing; over gRPC host and port. Empty: nowhere.
        protocol: Of OTLP.
        headers: Of each request, such as an API key.
        compression: Of each request.
        tls: For both protocols.
        timeout_ms: How long the endpoint may take to answer.
        batch_records: The most records taken from Kafka at once.
        max_request_bytes: Before compression; a record that is larger goes alone.
        retry_ms: What the first wait is drawn up to, where the endpoint cannot take a request now.
        most_retry_ms: What no wait is drawn beyond.
        group_id: The consumer group; None: that of the workers, with -forward.
    """

    endpoint: Annotated[str, AfterValidator(_without_login)] = ""
    protocol: Literal["http/protobuf", "grpc"] = "http/protobuf"
    headers: dict[str, str] = Field(default_factory=dict)
    compression: Literal["gzip", "none"] = "gzip"
    tls: EndpointTls = EndpointTls()
    timeout_ms: Positive = 10_000
    batch_records: Positive = 1_000
    max_request_bytes: Positive = 4_000_000
    retry_ms: Positive = 1_000
    most_retry_ms: Positive = 30_000
    group_id: str | None = None


class Telemetry(_Section):
    """What a worker pushes of itself by OTLP; what it samples goes elsewhere, by `Forward`.

    Attributes:
        endpoint: Where; over HTTP a URL, to which /v1/metrics and /v1/traces are added; over gRPC
            host and port. Empty: nowhere.
        protocol: Of OTLP.
        headers: Of each request, such as an API key.
        compression: Of each request.
        tls: For both protocols.
        timeout_ms: How long a request may take, with all tries; also the most that a stop waits for
            the last push.
        metrics: Whether what /metrics says is pushed.
        interval_ms: Wall time between two pushes of metrics.
        commits: Whether each commit is a trace of one span.
        commits_ratio: The share of commits that are.
    """

    endpoint: Annotated[str, AfterValidator(_without_login)] = ""
    protocol: Literal["http/protobuf", "grpc"] = "http/protobuf"
    headers: dict[str, str] = Field(default_factory=dict)
    compression: Literal["gzip", "none"] = "gzip"
    tls: EndpointTls = EndpointTls()
    timeout_ms: Positive = 3_000
    metrics: bool = True
    interval_ms: Positive = 15_000
    commits: bool = False
    commits_ratio: Annotated[float, Field(ge=0, le=1, description="a share from 0 to 1")] = 1.0


class Log(_Section):
    """What is logged and how.

    Attributes:
        level: The least that is told.
        format: A JSON object a line, or a line for people.
        lines_per_minute: Of one event; what comes beyond is left out, and counted in the next line
            of that event. 0: all are told.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"
    lines_per_minute: NotNegative = 120


class Settings(BaseSettings):
    """All settings of a worker.

    Attributes:
        kafka: librdkafka's properties, passed through; `bootstrap.servers` is required.
        group_id: The consumer group.
        group_protocol: `consumer` is KIP-848's, which needs brokers 4.0 or later.
        instance_id: Static membership: a worker that comes back under the same one within the
            session timeout moves no partitions. None: dynamic membership.
        guarantee: What a crash may do to the output. `exactly_once`: nothing, for those who read
            committed records only. `at_least_once`: it may write again what was written since the
            last commit; for brokers without transactions.
        commit_interval_ms: Wall time between commits.
        commit_bytes: A commit comes earlier when so many bytes have been written since the last.
        transaction_timeout_ms: After so long without a commit the broker aborts a transaction. So
            long, too, a worker that was killed may hide from readers of committed records what
            others wrote after it.
        batch_records: The most records taken from Kafka at once.
        allowed_skew_ms: A record's timestamp counts as at most the wall clock plus this.
        policies_file: The policy set to use while the policies topic holds none, or cannot be
            read.
        status_interval_ms: How often a worker says on the status topic how it stands; besides, at
            each change.
        startup_timeout_ms: How long a broker may take to answer before the command gives up.
        stop_timeout_ms: How long a worker that was told to stop waits for brokers that do not
            answer, before it leaves without a commit; within the 30 s that Kubernetes gives.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    kafka: Annotated[
        dict[str, PropertyValue], Field(description="librdkafka's properties as `name: value`")
    ]
    topics: Topics = Topics()
    group_id: str = "streamsampler"
    group_protocol: Literal["classic", "consumer"] = "classic"
    instance_id: str | None = None
    input: Input = Input()
    output: Output = Output()
    guarantee: Literal["exactly_once", "at_least_once"] = "exactly_once"
    commit_interval_ms: Positive = 500
    commit_bytes: Positive = 16 << 20
    transaction_timeout_ms: Annotated[
        int, Field(ge=1_000, le=900_000, description="1,000 to 900,000 ms")
    ] = 10_000
    batch_records: Positive = 5_000
    allowed_skew_ms: NotNegative = 10_000
    store: Store = Store()
    limits: Bounds = Bounds()
    policies_file: Path | None = None
    policies: Policies = Policies()
    health: Health = Health()
    status_interval_ms: Positive = 5_000
    startup_timeout_ms: Positive = 15_000
    stop_timeout_ms: Positive = 20_000
    http: Http = Http()
    topology: Topology = Topology()
    forward: Forward = Forward()
    telemetry: Telemetry = Telemetry()
    log: Log = Log()

    @property
    def bootstrap(self) -> str:
        """The brokers' addresses."""
        return self.kafka["bootstrap.servers"]

    @property
    def worker_id(self) -> str:
        """What this process is called in logs and dead letters."""
        return self.instance_id or f"{socket.gethostname()}-{os.getpid()}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is given and nothing else: `load_settings` joins the sources."""
        return (init_settings,)


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
    elif problem["type"] == _LOGIN:
        finding = "holds a user or password; put it into forward.headers, as Authorization"
    elif is_secret(path):
        finding = "is not shown, and cannot be used: expected a string in quotes"
    else:
        finding = explain(problem, Settings)
    end = "" if finding.endswith("?") else "."
    return f"{sources.place(path)}: {path_text(path)} {finding}{end}"
