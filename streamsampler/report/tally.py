"""What a run decided, summed up as it goes, in memory that does not grow with the run."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from streamsampler.outcome import Decision

SHOWN_BAD_RECORDS: Final = 5
SHOWN_TRACES: Final = 1_000
_BINS_PER_DECADE: Final = 2


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that could not be read.

    Attributes:
        place: Where it stands, such as ``traces.jsonl:17``.
        reason: A word in snake case, such as ``bad_json``.
        detail: A sentence on what is wrong.
    """

    place: str
    reason: str
    detail: str


@dataclass(slots=True)
class Verdict:
    """The traces that got one verdict by one policy."""

    traces: int = 0
    spans: int = 0


@dataclass(slots=True)
class Tally:
    """Decisions and bad records, counted.

    Attributes:
        verdicts: By (decision, policy); the policy is None where none was decisive.
        triggers: Decisions by what brought them about.
        durations: Traces by bin of duration, see `duration_bin`: all decided ones.
        kept_durations: The same of the sampled ones.
        bad_records: The first of them, `SHOWN_BAD_RECORDS` at most.
        bad_reasons: All bad records, by reason.
        sampled: The first sampled traces, `SHOWN_TRACES` at most.
        others: The first of the rest, as many at most.
    """

    verdicts: dict[tuple[str, str | None], Verdict] = field(default_factory=dict)
    triggers: Counter[str] = field(default_factory=Counter)
    durations: Counter[int] = field(default_factory=Counter)
    kept_durations: Counter[int] = field(default_factory=Counter)
    bad_records: list[BadRecord] = field(default_factory=list)
    bad_reasons: Counter[str] = field(default_factory=Counter)
    sampled: list[Decision] = field(default_factory=list)
    others: list[Decision] = field(default_factory=list)

    def decided(self, decisions: Iterable[Decision]) -> None:
        """Count decisions.

        Args:
            decisions: In the order in which they were made.
        """
        for decision in decisions:
            key = (decision.decision, decision.policy)
            verdict = self.verdicts.setdefault(key, Verdict())
            verdict.traces += 1
            verdict.spans += decision.spans
            self.triggers[decision.trigger] += 1
            place = duration_bin(decision.duration_ns)
            self.durations[place] += 1
            kept = decision.decision == "sampled"
            if kept:
                self.kept_durations[place] += 1
            listed = self.sampled if kept else self.others
            if len(listed) < SHOWN_TRACES:
                listed.append(decision)

    def refused(self, bad: BadRecord) -> None:
        """Count a record that could not be read.

        Args:
            bad: The record.
        """
        self.bad_reasons[bad.reason] += 1
        if len(self.bad_records) < SHOWN_BAD_RECORDS:
            self.bad_records.append(bad)

    @property
    def traces(self) -> int:
        """All decided traces."""
        return sum(verdict.traces for verdict in self.verdicts.values())

    def traces_with(self, decision: str) -> int:
        """Count the traces with one verdict.

        Args:
            decision: ``sampled``, ``not_sampled`` or ``dropped``.

        Returns:
            The number of traces, whichever policy decided.
        """
        return sum(
            verdict.traces
            for (verdict_name, _), verdict in self.verdicts.items()
            if verdict_name == decision
        )


def tally_of(decisions: Iterable[Decision]) -> Tally:
    """Count decisions that are all there already.

    Args:
        decisions: In the order in which they were made.

    Returns:
        Their tally.
    """
    tally = Tally()
    tally.decided(decisions)
    return tally


def duration_bin(duration_ns: int) -> int:
    """Place a duration among bins of half a decade.

    Args:
        duration_ns: ns.

    Returns:
        0 for less than 1 ms, then one more at 1, 3.16, 10, 31.6 ms and so on.
    """
    place, edge_ns = 0, 1_000_000.0
    while duration_ns >= edge_ns:
        place += 1
        edge_ns = bin_edge_ns(place)
    return place


def bin_edge_ns(place: int) -> float:
    """Tell where a bin ends.

    Args:
        place: A bin, by `duration_bin`.

    Returns:
        The first duration above it, ns.
    """
    return 1_000_000 * math.pow(10.0, place / _BINS_PER_DECADE)
