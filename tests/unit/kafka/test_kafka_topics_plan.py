"""The topics: what is planned, and what must fit together."""

import pytest

from streamsampler.config import Topics
from streamsampler.kafka.errors import FailStopError
from streamsampler.kafka.topics import DAY_MS, check_partitions, check_topics, plan_topics

TOPICS = Topics()
PLANS = {plan.name: plan for plan in plan_topics(TOPICS, 12)}
ALL = {plan.name: plan.partitions for plan in PLANS.values()}


@pytest.mark.parametrize(
    ("name", "partitions", "cleanup"),
    [
        (TOPICS.input, 12, "delete"),
        (TOPICS.output, 12, "delete"),
        (TOPICS.decisions, 12, "compact,delete"),
        (TOPICS.policies, 1, "compact"),
        (TOPICS.sketches, 4, "delete"),
        (TOPICS.tables, 1, "compact"),
        (TOPICS.status, 1, "compact"),
        (TOPICS.dead_letters, 4, "delete"),
    ],
)
def test_each_topic_is_planned(name: str, partitions: int, cleanup: str) -> None:
    assert PLANS[name].partitions == partitions
    assert PLANS[name].config["cleanup.policy"] == cleanup


def test_what_workers_said_before_is_compacted_soon() -> None:
    # A worker says every few seconds how it stands; by default a segment is open for a week.
    assert int(PLANS[TOPICS.status].config["segment.ms"]) <= 600_000


def test_every_topic_of_the_settings_has_a_plan() -> None:
    assert set(PLANS) == set(TOPICS.model_dump().values())


@pytest.mark.parametrize("name", [TOPICS.input, TOPICS.output, TOPICS.dead_letters])
def test_where_spans_go_a_megabyte_and_its_headers_fit(name: str) -> None:
    assert int(PLANS[name].config["max.message.bytes"]) >= 1_000_000 + 65_536


@pytest.mark.parametrize(
    ("input_ms", "decisions_ms"), [(-1, -1), (60_000, DAY_MS), (9 * DAY_MS, 9 * DAY_MS)]
)
def test_decisions_are_kept_as_long_as_the_input_and_a_day_at_least(
    input_ms: int, decisions_ms: int
) -> None:
    plans = {plan.name: plan.config for plan in plan_topics(TOPICS, 12, input_ms)}
    assert plans[TOPICS.decisions]["retention.ms"] == str(decisions_ms)


def test_decisions_go_to_the_inputs_partition_numbers() -> None:
    check_partitions(TOPICS, {TOPICS.input: 12, TOPICS.decisions: 12})
    with pytest.raises(FailStopError) as refused:
        check_partitions(TOPICS, {TOPICS.input: 12, TOPICS.decisions: 8})
    assert "streamsampler.decisions has 8 partitions" in str(refused.value)
    assert "otlp_spans has 12" in str(refused.value)


@pytest.mark.parametrize("existing", [{}, {TOPICS.input: 12}, {TOPICS.decisions: 8}])
def test_one_that_is_not_there_yet_fits_anything(existing: dict[str, int]) -> None:
    check_partitions(TOPICS, existing)


def test_a_worker_needs_its_topics() -> None:
    check_topics(TOPICS, ALL)
    without = {name: count for name, count in ALL.items() if name != TOPICS.dead_letters}
    with pytest.raises(FailStopError, match=r"do not exist: streamsampler\.dlq; `streamsampler"):
        check_topics(TOPICS, without)


def test_a_worker_refuses_partitions_that_do_not_fit() -> None:
    with pytest.raises(FailStopError, match="both must have as many"):
        check_topics(TOPICS, {**ALL, TOPICS.decisions: 3})
