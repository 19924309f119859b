"""All settings, as one typed model."""

import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from streamsampler.config.sections import (
    Bounds,
    Forward,
    Health,
    Http,
    Input,
    Log,
    NotNegative,
    Output,
    Policies,
    Positive,
    Store,
    Telemetry,
    Topics,
    Topology,
)

PREFIX: Final = "STREAMSAMPLER_"
"""Of variables."""

_SECRET: Final = re.compile(
    r"(password|passphrase|secret|token|private|jaas|kinit|oauthbearer\.config|\.pem$)"
)


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
