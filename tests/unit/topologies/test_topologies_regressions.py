"""Groups that become slower: named within 30 s of stream time, and not masked by what follows."""

from collections.abc import Iterable

import numpy as np
import pytest
from datasketches import kll_floats_sketch

from streamsampler.estimates import summaries, tables
from streamsampler.estimates.summaries import GroupSummary, Summary
from streamsampler.estimates.tables import PERCENTILES, GroupThresholds, ThresholdTable
from topologies.durations import Sums
from topologies.regressions import FAST, group_thresholds
from topologies.shards import Shards, Taken
from topologies.thresholds import Thresholds, make_shards

WINDOW, REFERENCE = 60, 720
GROUP, OTHER = (b"t", b"s", b"n"), (b"t", b"s", b"o")
P99 = PERCENTILES.index(99.0)
MEDIAN_MS, SIGMA = 40.0, 0.5
TRUE_P99 = MEDIAN_MS * float(np.exp(2.326 * SIGMA))
PER_INTERVAL = 200


def row(durations: Iterable[float], group: tuple[bytes, bytes, bytes] = GROUP) -> GroupSummary:
    sketch = kll_floats_sketch(2048)
    values = np.array(list(durations), np.float32)
    sketch.update(values)
    return GroupSummary(group, len(values), 1, 1, 0, 0, 0, 0, 1.0, sketch.serialize())


class Stream:
    """Feeds one shard with log-normal durations, from two partitions."""

    def __init__(self, reference: int = REFERENCE) -> None:
        self.reference = reference
        self.shards: Shards[Thresholds] = make_shards(WINDOW, reference)
        self.table: dict[bytes, bytes] = {}
        self.chance = np.random.default_rng(7)
        self.interval = 1_000

    def feed(self, factor: float = 1.0, count: int = PER_INTERVAL) -> GroupThresholds:
        for partition in range(2):
            known = [
                row(
                    times * MEDIAN_MS * self.chance.lognormal(0.0, SIGMA, count // 2),
                    group,
                )
                for group, times in ((GROUP, factor), (OTHER, 1.0))
            ]
            value = summaries.pack(Summary("groups", partition, self.interval, 0, tuple(known)))
            assert self.shards.take(0, value, self.table) is Taken.KEPT
        self.interval += 1
        assert not self.thresholds()[OTHER].regressed
        return self.thresholds()[GROUP]

    def feed_all(self, count: int, factor: float = 1.0) -> list[GroupThresholds]:
        return [self.feed(factor) for _ in range(count)]

    def thresholds(self) -> dict[tuple[bytes, bytes, bytes], GroupThresholds]:
        table = tables.unpack(self.shards.tables(0)[b"thresholds/0"])
        assert isinstance(table, ThresholdTable)
        return dict(table.groups)

    def restart(self) -> None:
        self.shards = make_shards(WINDOW, self.reference)
        assert self.shards.rebuild([0], self.table.items()) == 0


def test_a_slowdown_is_named_within_the_fast_window_and_is_not_masked() -> None:
    stream = Stream()
    steady = stream.feed_all(360)  # 30 min
    assert not any(found.regressed for found in steady)
    assert steady[-1].quantiles[P99] == pytest.approx(TRUE_P99, rel=0.05)
    slow = stream.feed_all(WINDOW + 20, factor=5.0)  # longer than the long window
    named = [found.regressed for found in slow]
    assert any(named[:FAST])
    assert all(named[named.index(True) :])
    assert stream.shards.window(0).regressed() == 1
    for found in slow:
        assert found.quantiles[P99] == pytest.approx(TRUE_P99, rel=0.1)
    back = stream.feed_all(FAST)
    assert not back[-1].regressed
    assert not any(found.regressed for found in stream.feed_all(40))
    assert stream.shards.window(0).regressed() == 0
    # What came while the group was flagged is no part of what it is compared with.
    assert stream.feed().reference_p99 == pytest.approx(TRUE_P99, rel=0.05)
    assert any(found.regressed for found in stream.feed_all(FAST, factor=5.0))


def test_a_flag_and_its_reference_survive_a_restart() -> None:
    stream = Stream()
    stream.feed_all(60)
    before = stream.feed_all(20, factor=5.0)[-1]
    assert before.regressed
    stream.restart()
    again = stream.thresholds()[GROUP]
    assert again == before
    assert stream.shards.window(0).regressed() == 1
    for found in stream.feed_all(20, factor=5.0):
        assert (found.regressed, found.quantiles) == (True, before.quantiles)
    stream.feed_all(10)
    stream.restart()
    assert not stream.thresholds()[GROUP].regressed
    assert stream.feed().reference_p99 == pytest.approx(TRUE_P99, rel=0.1)


def test_a_record_read_again_changes_nothing() -> None:
    stream = Stream()
    stream.feed_all(40)
    stream.feed_all(5, factor=5.0)
    entries, found = dict(stream.table), stream.thresholds()
    for key, value in entries.items():
        if key[:1] == b"g":
            stream.shards.take(0, value, stream.table)
    assert (stream.table, stream.thresholds()) == (entries, found)


def test_a_reference_is_given_up_after_its_length_and_begins_anew() -> None:
    reference = 90
    stream = Stream(reference)
    stream.feed_all(60)
    slow = stream.feed_all(reference + 40, factor=5.0)
    named = [found.regressed for found in slow]
    begun = named.index(True)
    assert all(named[begun : begun + reference - 1])
    assert not any(named[begun + reference + 1 :])
    given_up = slow[begun + reference + 1]
    assert given_up.reference_p99 == pytest.approx(5 * TRUE_P99, rel=0.15)
    assert given_up.quantiles[P99] == pytest.approx(5 * TRUE_P99, rel=0.1)
    assert slow[-1].reference_p99 == pytest.approx(5 * TRUE_P99, rel=0.15)


def test_nothing_is_named_before_there_is_a_reference() -> None:
    stream = Stream()
    found = [stream.feed() for _ in range(FAST + 2)] + [stream.feed(5.0) for _ in range(4)]
    assert not any(known.regressed for known in found[: FAST + 2])
    assert found[FAST + 1].reference_p99 is None
    assert found[FAST + 1].count == (FAST + 2) * PER_INTERVAL


def sums(durations: Iterable[float]) -> Sums:
    made = Sums()
    made.add(row(durations))
    return made


STEADY = [float(value) for value in range(1, 1_001)]


@pytest.mark.parametrize(
    ("fast", "regressed", "held"),
    [
        ([2_000.0] * 49, False, False),  # too few
        ([2_000.0] * 50, True, True),
        ([1.0] * 24 + [2_000.0] * 26, True, True),
        ([1.0] * 26 + [2_000.0] * 24, False, True),  # some are slow, not most
        ([1.0] * 196 + [2_000.0] * 4, False, False),  # 0.02, below 0.01 + 5 sqrt(0.01 / 200)
        ([1.0] * 188 + [2_000.0] * 12, False, True),  # 0.06
        ([991.0] * 100, False, False),  # as long as the percentile is not above it
    ],
)
def test_who_is_regressed_and_whose_quantiles_are_held(
    fast: list[float], *, regressed: bool, held: bool
) -> None:
    window = sums([5_000.0] * 10)
    found = group_thresholds(window, sums(fast), sums(STEADY))
    assert found is not None
    assert found.regressed is regressed
    assert found.quantiles[P99] == pytest.approx(991.0 if held else 5_000.0)
    assert found.count == (1_000 if held else 10)
    small = group_thresholds(window, sums(fast), sums([1.0] * 499))
    assert small == GroupThresholds(10, (5_000.0,) * 5, None, False)


def test_a_group_of_which_nothing_was_measured_has_no_thresholds() -> None:
    assert group_thresholds(Sums(), None, None) is None
