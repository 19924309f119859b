"""The sections of the settings: one model each, with what is set where nobody sets it."""

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

LOGIN: Final = "login"
"""The type of the problem that an endpoint holds a user or a password."""

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


def _without_login(endpoint: str) -> str:
    """An endpoint is shown and logged, so that no password may be in it."""
    if "@" in endpoint.rpartition("://")[2].partition("/")[0]:
        # No ValueError, whose sentence would show the value.
        raise PydanticCustomError(LOGIN, "a login")
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


class _OtlpEndpoint(_Section):
    """Where something goes by OTLP, and how.

    Attributes:
        endpoint: Over HTTP a URL; over gRPC host and port. Empty: nowhere.
        protocol: Of OTLP.
        headers: Of each request, such as an API key.
        compression: Of each request.
        tls: For both protocols.
    """

    endpoint: Annotated[str, AfterValidator(_without_login)] = ""
    protocol: Literal["http/protobuf", "grpc"] = "http/protobuf"
    headers: dict[str, str] = Field(default_factory=dict)
    compression: Literal["gzip", "none"] = "gzip"
    tls: EndpointTls = EndpointTls()


class Forward(_OtlpEndpoint):
    """What `streamsampler forward` goes by, and where kept traces go.

    To a URL /v1/traces is added where it is missing.

    Attributes:
        timeout_ms: How long the endpoint may take to answer.
        batch_records: The most records taken from Kafka at once.
        max_request_bytes: Before compression; a record that is larger goes alone.
        retry_ms: What the first wait is drawn up to, where the endpoint cannot take a request now.
        most_retry_ms: What no wait is drawn beyond.
        group_id: The consumer group; None: that of the workers, with -forward.
    """

    timeout_ms: Positive = 10_000
    batch_records: Positive = 1_000
    max_request_bytes: Positive = 4_000_000
    retry_ms: Positive = 1_000
    most_retry_ms: Positive = 30_000
    group_id: str | None = None


class Telemetry(_OtlpEndpoint):
    """What a worker pushes of itself by OTLP; what it samples goes elsewhere, by `Forward`.

    To a URL /v1/metrics and /v1/traces are added.

    Attributes:
        timeout_ms: How long a request may take, with all tries; also the most that a stop waits for
            the last push.
        metrics: Whether what /metrics says is pushed.
        interval_ms: Wall time between two pushes of metrics.
        commits: Whether each commit is a trace of one span.
        commits_ratio: The share of commits that are.
    """

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
