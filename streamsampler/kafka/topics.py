"""The topics that the sampler needs: which, with which settings, and what must fit together."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not marked so
    AdminClient,
    ConfigResource,
    NewTopic,
)

from streamsampler.config import Settings, Topics
from streamsampler.kafka.clients import make_admin, topic_partitions
from streamsampler.kafka.errors import FailStopError

DEFAULT_PARTITIONS: Final = 8
BROKERS_DEFAULT: Final = -1
FEW_PARTITIONS: Final = 4
DAY_MS: Final = 24 * 60 * 60 * 1000
LARGE_RECORD_BYTES: Final = 2_097_152
"""A record at the Collector's limit of 1 MB fits, with a dead letter's headers on top."""
SOON_COMPACTED: Final[Mapping[str, str]] = {
    "segment.ms": "600000",
    "min.cleanable.dirty.ratio": "0.1",
}
"""Every worker writes its status every few seconds; what is not the last should go soon."""
LOOK_SECONDS: Final = 0.05
CLEANUP: Final = "cleanup.policy"
RETENTION: Final = "retention.ms"


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """A topic as it should be made.

    Attributes:
        name: Its name.
        partitions: How many.
        config: Topic properties that differ from the broker's defaults.
        sized: Whether the operator says how many partitions it has.
    """

    name: str
    partitions: int
    config: Mapping[str, str]
    sized: bool = False


@dataclass(frozen=True, slots=True)
class TopicReport:
    """What `create_topics` found or did.

    Attributes:
        name: The topic.
        partitions: How many it has.
        created: Whether it was made now.
        notes: Sentences on what an existing one has other than planned.
    """

    name: str
    partitions: int
    created: bool
    notes: tuple[str, ...] = ()


def plan_topics(
    topics: Topics, partitions: int, input_retention_ms: int = DAY_MS
) -> tuple[TopicPlan, ...]:
    """Plan all topics.

    Args:
        topics: Their names.
        partitions: Of the input; decisions are written to the input's partition numbers.
        input_retention_ms: How long an existing input topic keeps records; -1: for ever.
            Decisions carry their traces' time, so they must be kept as long, or a worker that
            catches up on an old backlog would find its own decisions deleted.

    Returns:
        The plans, the input's first.
    """
    day, week = {RETENTION: str(DAY_MS)}, {RETENTION: str(7 * DAY_MS)}
    longest = -1 if input_retention_ms < 0 else max(DAY_MS, input_retention_ms)
    passing, latest_only = {CLEANUP: "delete"}, {CLEANUP: "compact"}
    large = {"max.message.bytes": str(LARGE_RECORD_BYTES)}
    decided = {CLEANUP: "compact,delete", RETENTION: str(longest)}
    return (
        TopicPlan(topics.input, partitions, {**passing, **day, **large}, sized=True),
        TopicPlan(topics.output, partitions, {**passing, **day, **large}, sized=True),
        TopicPlan(topics.decisions, partitions, decided, sized=True),
        TopicPlan(topics.policies, 1, latest_only),
        TopicPlan(topics.sketches, FEW_PARTITIONS, {**passing, **day}),
        TopicPlan(topics.tables, 1, latest_only),
        TopicPlan(topics.status, 1, {**latest_only, **SOON_COMPACTED}),
        TopicPlan(topics.dead_letters, FEW_PARTITIONS, {**passing, **week, **large}),
    )


def check_partitions(topics: Topics, existing: Mapping[str, int]) -> None:
    """Check that decisions can be written to the input's partition numbers.

    Args:
        topics: Their names.
        existing: Each existing topic's number of partitions.

    Raises:
        FailStopError: Both topics exist and their numbers differ.
    """
    inputs, decisions = existing.get(topics.input), existing.get(topics.decisions)
    if inputs is not None and decisions is not None and inputs != decisions:
        raise FailStopError(
            f"the decisions topic {topics.decisions} has {decisions} partitions and the input "
            f"topic {topics.input} has {inputs}; each decision is written to the partition number "
            "that its trace came from, so both must have as many. Delete the decisions topic and "
            "run `streamsampler topics create` again, or name another as topics.decisions."
        )


def check_topics(topics: Topics, existing: Mapping[str, int]) -> None:
    """Check that a worker has the topics it reads and writes.

    Args:
        topics: Their names.
        existing: Each existing topic's number of partitions.

    Raises:
        FailStopError: One is missing, or partition numbers do not fit.
    """
    needed = (topics.input, topics.output, topics.decisions, topics.policies, topics.dead_letters)
    missing = [name for name in needed if name not in existing]
    if missing:
        raise FailStopError(
            f"these topics do not exist: {', '.join(missing)}; `streamsampler topics create` makes "
            "what is missing."
        )
    check_partitions(topics, existing)


def create_topics(
    settings: Settings, partitions: int | None = None, replication: int | None = None
) -> list[TopicReport]:
    """Create the topics that are not there; leave the others as they are.

    Args:
        settings: Brokers and names.
        partitions: Of the input, output and decisions topics; None: as many as an existing one of
            input and decisions has, else `DEFAULT_PARTITIONS`.
        replication: How many replicas each new topic has; None: the broker's default.

    Returns:
        What there is now, in the order of the plan.

    Raises:
        FailStopError: The decisions topic does not fit the input, or the broker refused a topic
            or did not answer.
    """
    admin, topics = make_admin(settings), settings.topics
    existing = topic_partitions(settings, admin)
    decided = existing.get(topics.decisions)
    inputs = existing.get(topics.input) or partitions or decided or DEFAULT_PARTITIONS
    check_partitions(topics, {**existing, topics.input: inputs})
    configs = _read_configs(settings, admin, [name for name in existing if name in _names(topics)])
    kept_ms = int(configs.get(topics.input, {}).get(RETENTION, DAY_MS))
    plans = plan_topics(topics, inputs, kept_ms)
    _create(settings, admin, [plan for plan in plans if plan.name not in existing], replication)
    return [
        _report(plan, existing[plan.name], configs[plan.name], partitions)
        if plan.name in existing
        else TopicReport(plan.name, plan.partitions, created=True)
        for plan in plans
    ]


def _names(topics: Topics) -> frozenset[str]:
    return frozenset(name for _, name in topics)


def _report(plan: TopicPlan, has: int, config: Mapping[str, str], asked: int | None) -> TopicReport:
    notes = []
    if asked is not None and asked != has and plan.sized:
        notes.append(f"It was left with its {has} partitions; {asked} were asked for.")
    cleanup, expected = config[CLEANUP], plan.config[CLEANUP]
    if set(cleanup.split(",")) != set(expected.split(",")):
        notes.append(f"Its {CLEANUP} is {cleanup}; {expected} is expected.")
    return TopicReport(plan.name, has, created=False, notes=tuple(notes))


def _create(
    settings: Settings, admin: AdminClient, plans: list[TopicPlan], replication: int | None
) -> None:
    if not plans:
        return
    timeout = settings.startup_timeout_ms / 1000
    wanted = [
        NewTopic(
            plan.name,
            num_partitions=plan.partitions,
            replication_factor=BROKERS_DEFAULT if replication is None else replication,
            config=dict(plan.config),
        )
        for plan in plans
    ]
    deadline = time.monotonic() + timeout
    pending = admin.create_topics(wanted, operation_timeout=timeout, request_timeout=timeout)
    for name, done in pending.items():
        try:
            done.result()
        except KafkaException as error:
            reason = error.args[0]
            if reason.code() == KafkaError.TOPIC_ALREADY_EXISTS:
                continue  # somebody else made it meanwhile
            raise FailStopError(f"topic {name} could not be created: {reason.str()}.") from error
    # The controller has made them; brokers learn of it a moment later, and whoever runs the next
    # command wants to see them.
    while missing := {plan.name for plan in plans} - topic_partitions(settings, admin).keys():
        if time.monotonic() > deadline:
            raise FailStopError(f"the brokers do not know yet of {', '.join(sorted(missing))}.")
        time.sleep(LOOK_SECONDS)


def _read_configs(
    settings: Settings, admin: AdminClient, names: list[str]
) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    if not resources:
        return {}
    pending = admin.describe_configs(resources, request_timeout=settings.startup_timeout_ms / 1000)
    try:
        return {
            resource.name: {name: entry.value for name, entry in done.result().items()}
            for resource, done in pending.items()
        }
    except KafkaException as error:
        raise FailStopError(
            f"the settings of existing topics could not be read: {error.args[0].str()}."
        ) from error
