"""A worker from its settings: opens what it needs, runs the loop, closes everything."""

import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from structlog.contextvars import bound_contextvars

from streamsampler import __version__
from streamsampler.config import ConfigError, Settings
from streamsampler.kafka.clients import (
    make_admin,
    make_group_consumer,
    make_producer,
    make_transactional_producer,
    store_identity,
    topic_partitions,
)
from streamsampler.kafka.clock import Clock
from streamsampler.kafka.control_plane import ControlPlane, health_questions
from streamsampler.kafka.errors import FailStopError, RestartError
from streamsampler.kafka.fatal import fatal_error
from streamsampler.kafka.first_policies import wait_for_policies
from streamsampler.kafka.links import Links
from streamsampler.kafka.loop import Worker
from streamsampler.kafka.outbox import OrderedOutbox, Outbox, TransactionalOutbox
from streamsampler.kafka.policy_in_force import Refusal
from streamsampler.kafka.policy_topic import PolicyTopic
from streamsampler.kafka.reporting import Watch
from streamsampler.kafka.status import open_status
from streamsampler.kafka.topics import check_topics
from streamsampler.kafka.transactions import Transactions
from streamsampler.observe import AddressError, HealthServer, Vitals
from streamsampler.policies import PolicySet
from streamsampler.policies.sentences import no_such_key
from streamsampler.sampler import Limits, Sampler
from streamsampler.spans.formats import FORMATS, Translate
from streamsampler.store import BlockStore, StoreError, StoreSettings
from streamsampler.warmup import compile_kernels

__all__ = ["Watch", "run_worker"]

OTLP_PROTO: Final = "otlp_proto"
RESTART_SECONDS: Final = 1.0
MOST_RESTARTS: Final = 5
WITHIN_SECONDS: Final = 120.0
FLUSH_SECONDS: Final = 5.0
MOST_TURN_MS: Final = 180_000
"""A turn of the loop may wait for brokers as long as a transaction insists, and more than once."""

_log = structlog.get_logger("streamsampler.worker")


def run_worker(
    settings: Settings,
    stop: Callable[[], bool],
    watch: Watch | None = None,
    clock: Clock | None = None,
) -> None:
    """Run a worker of the consumer group until told to stop.

    Args:
        settings: The settings; `store.path` is for this worker alone.
        stop: Asked between batches, so every 50 ms or so.
        watch: Who wants to see what it does; None for nobody.
        clock: The time; None for the system's.

    Raises:
        ConfigError: A setting cannot be used.
        PolicyError: The policies file cannot be used.
        FailStopError: No broker answered, a topic is missing, or something was refused for good.
    """
    translate = find_translation(settings.input.format)
    clock = clock or Clock()
    vitals = Vitals(settings.worker_id, __version__, settings.guarantee, clock.monotonic_ms())
    restarts: deque[float] = deque(maxlen=MOST_RESTARTS)
    try:
        with (
            bound_contextvars(worker=settings.worker_id),
            _listening(settings, vitals, clock),
            _telling(settings, vitals) as traced,
        ):
            session = Session(settings, stop, watch or Watch(), clock, vitals, translate, traced)
            while not stop():
                try:
                    session.run()
                    break
                except RestartError as error:
                    _note_restart(restarts, error)
                    vitals.restarted()
                    time.sleep(RESTART_SECONDS)
            _log.info("worker_stopped")
    except AddressError as error:
        raise ConfigError(str(error)) from error
    except KafkaException as error:
        raise FailStopError(f"the Kafka client failed: {error.args[0].str()}.") from error
    except StoreError as error:
        raise FailStopError(f"the block store failed: {error}.") from error


@contextmanager
def _listening(settings: Settings, vitals: Vitals, clock: Clock) -> Iterator[None]:
    """The health page, where the settings want one."""
    address = settings.http.address
    if address is None:
        yield
        return
    with HealthServer(
        address,
        vitals.read,
        vitals.metrics,
        clock.monotonic_ms,
        limit_ms=MOST_TURN_MS,
        token=settings.http.token,
    ) as server:
        _log.info("health_served", address=server.address)
        yield


@contextmanager
def _telling(settings: Settings, vitals: Vitals) -> Iterator[Callable[[Outbox], Outbox]]:
    """What the worker pushes of itself, where the settings name an endpoint."""
    if not settings.telemetry.endpoint:
        yield lambda outbox: outbox
        return
    # 0.1 s and 10 MB, for those who want it.
    from streamsampler.kafka.telemetry import pushed  # noqa: PLC0415

    with pushed(settings, vitals) as traced:
        yield traced


def _note_restart(restarts: deque[float], error: RestartError) -> None:
    """Say that the worker goes on with new clients, or stop where that does not help."""
    now = time.monotonic()
    if len(restarts) == MOST_RESTARTS and now - restarts[0] < WITHIN_SECONDS:
        raise FailStopError(
            f"the Kafka clients failed {MOST_RESTARTS + 1} times within {WITHIN_SECONDS:g} s, the "
            f"last time with: {error}. Is there another worker with the same instance_id?"
        ) from error
    restarts.append(now)
    _log.warning("worker_restarting", reason=str(error))


@dataclass(frozen=True, slots=True)
class Session:
    """What a worker does with one set of clients.

    Attributes:
        settings: The settings.
        stop: Asked between batches.
        watch: Who wants to see.
        clock: The time.
        vitals: The health page's view.
        translate: From the input's format to OTLP protobuf; None where they are one.
        traced: Takes an outbox; gives one whose commits are traced, where that is wanted.
    """

    settings: Settings
    stop: Callable[[], bool]
    watch: Watch
    clock: Clock
    vitals: Vitals
    translate: Translate | None
    traced: Callable[[Outbox], Outbox]

    def run(self) -> None:
        """Open what is needed, work until told to stop, close everything.

        Raises:
            RestartError: The clients are of no use any more.
            FailStopError: Something was refused for good.
            KafkaException: A client failed.
            StoreError: The store cannot be opened.
        """
        settings = self.settings
        with ExitStack() as opened:
            admin = make_admin(settings)
            existing = topic_partitions(settings, admin)
            check_topics(settings.topics, existing)
            _log_start(settings)
            status = opened.enter_context(open_status(settings, existing, self.clock))
            status.tell(self.clock.monotonic_ms(), self.vitals.read(), ())
            partitions = existing[settings.topics.policies]
            topic = opened.enter_context(
                closing(PolicyTopic(settings, admin, partitions, self._refused))
            )
            opened.enter_context(
                self.vitals.heard_by(
                    lambda shown: status.tell(self.clock.monotonic_ms(), shown, topic.refused)
                )
            )
            policies = wait_for_policies(settings, topic, self.stop, self._waits)
            if policies is None:
                return
            _compile(policies.default)
            outbox = self.traced(opened.enter_context(_open_outbox(settings, self.stop)))
            store = opened.enter_context(_open_store(settings, admin))
            control_plane = opened.enter_context(
                closing(ControlPlane(settings, admin, existing, self.clock.monotonic_ms()))
            )
            sampler = Sampler(
                policies, store, _limits(settings), existing[settings.topics.input],
                sampling_attributes=settings.output.sampling_attributes,
                health=health_questions(settings) if control_plane.shards else None,
            )  # fmt: skip
            consumer = make_group_consumer(settings)
            links = Links(consumer, admin, outbox, topic, control_plane, store, self.translate)
            Worker(settings, sampler, links, self.clock, self.watch, self.vitals).run(self.stop)

    def _refused(self, refusal: Refusal) -> None:
        self.vitals.policy_set_refused(refusal.kind)

    def _waits(self, reason: str) -> None:
        self.vitals.waits(reason, self.clock.monotonic_ms())


def _log_start(settings: Settings) -> None:
    _log.info(
        "worker_starting",
        version=__version__,
        group=settings.group_id,
        group_protocol=settings.group_protocol,
        guarantee=settings.guarantee,
        input=settings.topics.input,
        output=settings.topics.output,
    )


def _compile(policies: PolicySet) -> None:
    """Compile while nobody waits: a member of the group must poll."""
    with tempfile.TemporaryDirectory(prefix="streamsampler-") as folder:
        compile_kernels(policies, Path(folder) / "blocks")


def find_translation(name: str) -> Translate | None:
    """Find how the input's format becomes OTLP protobuf.

    Args:
        name: The format's.

    Returns:
        The translation; None where there is nothing to translate.

    Raises:
        ConfigError: There is no such format.
    """
    if name == OTLP_PROTO:
        return None
    if name not in FORMATS:
        raise ConfigError(f"input.format {no_such_key(name, FORMATS)}.")
    return FORMATS[name]


@contextmanager
def _open_outbox(settings: Settings, stop: Callable[[], bool]) -> Iterator[Outbox]:
    """The outbox of the guarantee, over a producer of its own."""
    transactional = settings.guarantee == "exactly_once"
    producer = make_transactional_producer(settings) if transactional else make_producer(settings)
    try:
        if transactional:
            transactions = Transactions(producer, _Patience(settings.stop_timeout_ms, stop))
            transactions.start()
            yield TransactionalOutbox(producer, transactions, settings.topics, settings.worker_id)
        else:
            yield OrderedOutbox(producer, settings.topics, settings.worker_id)
    except BaseException:
        # Nothing past the last commit counts; whoever goes on from there writes it again.
        producer.purge()
        raise
    finally:
        _close(producer)


def _close(producer: Producer) -> None:
    """Let a producer go, which may have failed: what counts is committed, or it was purged."""
    try:
        producer.flush(FLUSH_SECONDS)
        producer.close()
    except (KafkaException, SystemError) as raised:
        error = fatal_error(raised)
        if error is None:
            raise
        _log.warning("producer_failed_at_its_end", reason=error.str())


class _Patience:
    """Whether a worker that was told to stop has waited long enough for its brokers."""

    def __init__(self, most_ms: int, stop: Callable[[], bool]) -> None:
        self._most_seconds = most_ms / 1000
        self._stop = stop
        self._since: float | None = None

    def __call__(self) -> bool:
        if not self._stop():
            return False
        self._since = self._since or time.monotonic()
        return time.monotonic() - self._since > self._most_seconds


@contextmanager
def _open_store(settings: Settings, admin: AdminClient) -> Iterator[BlockStore]:
    """The blocks of this worker, as far as they are of this cluster, topic and group."""
    with BlockStore(settings.store.path, _memory(settings)) as store:
        if store.rebuilt:
            _log.warning("store_rebuilt", path=str(settings.store.path), problem=store.rebuilt)
        if not store.claim(*store_identity(settings, admin)):
            _log.warning(
                "store_cleared",
                path=str(settings.store.path),
                reason="it held blocks of another cluster, topic or group",
            )
        yield store


def _memory(settings: Settings) -> StoreSettings:
    return StoreSettings(
        block_cache_bytes=settings.store.block_cache_bytes,
        write_buffer_bytes=settings.store.write_buffer_bytes,
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        spans_per_trace=settings.limits.spans_per_trace,
        bytes_per_trace=settings.limits.bytes_per_trace,
        block_bytes=settings.store.block_bytes,
        max_record_bytes=settings.output.max_record_bytes,
        decisions=settings.limits.decisions,
        spans_out=settings.limits.spans_out,
        buffered_spans=settings.limits.buffered_spans,
        buffered_bytes=settings.limits.buffered_bytes,
    )
