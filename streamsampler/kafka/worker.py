"""A worker from its settings: opens what it needs, runs the loop, closes everything."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

import structlog
from confluent_kafka import KafkaException, Producer
from structlog.contextvars import bound_contextvars

from streamsampler import __version__
from streamsampler.config import ConfigError, Settings
from streamsampler.kafka.clients import (
    make_admin,
    make_group_consumer,
    make_producer,
    topic_partitions,
)
from streamsampler.kafka.clock import Clock
from streamsampler.kafka.errors import FailStopError
from streamsampler.kafka.loop import REMINDER_MS, Links, Watch, Worker
from streamsampler.kafka.outbox import Outbox
from streamsampler.kafka.policy_topic import PolicyTopic, read_policies_file
from streamsampler.kafka.topics import check_topics
from streamsampler.policies import PolicySet
from streamsampler.policies.sentences import no_such_key
from streamsampler.sampler import Limits, Sampler
from streamsampler.spans.formats import FORMATS, Translate
from streamsampler.store import BlockStore, StoreError, StoreSettings
from streamsampler.warmup import compile_kernels

__all__ = ["Watch", "run_worker"]

OTLP_PROTO: Final = "otlp_proto"
WAIT_SECONDS: Final = 0.2

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
    try:
        with ExitStack() as opened:
            opened.enter_context(bound_contextvars(worker=settings.worker_id))
            admin = make_admin(settings)
            existing = topic_partitions(settings, admin)
            check_topics(settings.topics, existing)
            _log_start(settings)
            topic = opened.enter_context(
                closing(PolicyTopic(settings, admin, existing[settings.topics.policies]))
            )
            policies = _wait_for_policies(settings, topic, stop)
            if policies is None:
                return
            _compile(policies)
            producer = opened.enter_context(_open_producer(settings))
            store = opened.enter_context(BlockStore(settings.store.path, _memory(settings)))
            sampler = Sampler(policies, store, _limits(settings))
            outbox = Outbox(producer, settings.topics, settings.worker_id)
            links = Links(make_group_consumer(settings), admin, outbox, topic, translate)
            worker = Worker(settings, policies, sampler, links, clock or Clock(), watch or Watch())
            worker.run(stop)
            _log.info("worker_stopped")
    except KafkaException as error:
        raise FailStopError(f"the Kafka client failed: {error.args[0].str()}.") from error
    except StoreError as error:
        raise FailStopError(f"the block store failed: {error}.") from error


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


def _wait_for_policies(
    settings: Settings, topic: PolicyTopic, stop: Callable[[], bool]
) -> PolicySet | None:
    """The set to begin with; without one, everything would have to be kept or dropped.

    Returns:
        The topic's, else the file's; None where the worker was told to stop before there was one.
    """
    if topic.policies is None and settings.policies_file is not None:
        policies = read_policies_file(settings.policies_file)
        _log.info(
            "policy_set_in_force", version=policies.version, source=str(settings.policies_file)
        )
        return policies
    next_reminder = 0.0
    while topic.policies is None:
        if stop():
            return None
        if time.monotonic() >= next_reminder:
            next_reminder = time.monotonic() + REMINDER_MS / 1000
            _log.warning(
                "waiting_for_policies",
                topic=settings.topics.policies,
                mend="publish a set with `streamsampler policy apply`, or set policies_file",
            )
        topic.follow(WAIT_SECONDS)
    _log.info(
        "policy_set_in_force", version=topic.policies.version, source=settings.topics.policies
    )
    return topic.policies


@contextmanager
def _open_producer(settings: Settings) -> Iterator[Producer]:
    producer = make_producer(settings)
    try:
        yield producer
    except BaseException:
        # Nothing past the last commit counts; whoever goes on from there writes it again.
        producer.purge()
        raise
    finally:
        producer.flush()
        producer.close()


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
    )
