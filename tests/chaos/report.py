"""What a scenario must end with: each span of each kept trace once, and one decision a trace."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from streamsampler.config import Settings
from streamsampler.sampler import Decision
from tests.chaos.load import CLOSING_KEY, Expected
from tests.chaos.topics import Read, read_topic

EXAMPLES = 8


@dataclass(slots=True, repr=False)
class Report:
    """What came of a scenario.

    Attributes:
        scenario: Its name.
        seed: Of all its chance.
        seconds: How long it took.
        faults: How often each kind was injected.
        traces: Checked against the oracle.
        spans: Of these traces.
        kept_spans: Of these, those that the oracle keeps.
        lost_spans: Of these, those that did not.
        duplicated_spans: Copies too many.
        foreign_spans: Spans that nobody had to keep.
        missing_decisions: Traces without one.
        extra_decisions: Decisions too many.
        wrong_decisions: Other than the oracle's, or on another partition.
        early_decisions: Made over a limit.
        aborted_records: What only a reader of uncommitted records sees, output and decisions.
        aborted_transactions: How often a worker said that it aborted one.
        problems: The first of what is wrong, a sentence each.
        versions: How many decisions each policy set has made, by its version.
    """

    scenario: str
    seed: int
    seconds: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    traces: int = 0
    spans: int = 0
    kept_spans: int = 0
    lost_spans: int = 0
    duplicated_spans: int = 0
    foreign_spans: int = 0
    missing_decisions: int = 0
    extra_decisions: int = 0
    wrong_decisions: int = 0
    early_decisions: int = 0
    aborted_records: int = 0
    aborted_transactions: int = 0
    problems: list[str] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)

    @property
    def clean(self) -> bool:
        """Whether nothing is lost, nothing doubled, nothing wrong."""
        wrong = self.lost_spans, self.duplicated_spans, self.foreign_spans, self.missing_decisions
        return not (self.problems or any(wrong) or self.extra_decisions or self.wrong_decisions)

    def __repr__(self) -> str:
        return self.line()

    def note(self, problem: str) -> None:
        """Remember what is wrong; of many alike, the first few."""
        if len(self.problems) < EXAMPLES:
            self.problems.append(problem)

    def line(self) -> str:
        """All of it but the problems, in one line."""
        faults = ", ".join(f"{name} {times}" for name, times in self.faults.items()) or "none"
        return (
            f"{self.scenario} (seed {self.seed}, {self.seconds:.0f} s): {self.traces:,} traces, "
            f"{self.spans:,} spans, {self.kept_spans:,} to keep; lost {self.lost_spans}, "
            f"duplicated {self.duplicated_spans}, foreign {self.foreign_spans}; decisions "
            f"missing {self.missing_decisions}, extra {self.extra_decisions}, "
            f"wrong {self.wrong_decisions}, early {self.early_decisions}; aborted: "
            f"{self.aborted_transactions} transactions, {self.aborted_records:,} records; "
            f"faults: {faults}"
        )

    def text(self) -> str:
        """The line and the problems."""
        return "\n".join([self.line(), *(f"  {problem}" for problem in self.problems)])


@dataclass(slots=True)
class Truth:
    """What output and decisions are held against.

    Attributes:
        expected: What must become of each trace.
        partitions: On which partition of the input each is.
        cut: Traces of which records were deleted unread, and how many decisions each must have
            at least: of them, too, nothing may come out twice or be decided twice.
        verdicts_hold: Whether decisions must be the oracle's; else each trace must have come out
            whole or not at all, as it was decided.
        by_version: What must become of each trace that another policy set has decided, by that
            set's version.
    """

    expected: Mapping[bytes, Expected]
    partitions: Mapping[bytes, int]
    cut: Mapping[bytes, int] = field(default_factory=dict)
    verdicts_hold: bool = True
    by_version: Mapping[str, Mapping[bytes, Expected]] = field(default_factory=dict)

    def given(self, decisions: Mapping[bytes, list[Decision]]) -> "Truth":
        """Hold each trace to the set that has decided it."""
        expected = dict(self.expected)
        for trace_id in expected:
            for decision in decisions.get(trace_id, ()):
                if decision.policy_version in self.by_version:
                    expected[trace_id] = self.by_version[decision.policy_version][trace_id]
        return replace(self, expected=expected)


def compare(settings: Settings, truth: Truth, report: Report) -> None:
    """Hold output and decisions, as they are now, against the oracle.

    Args:
        settings: Brokers and topics.
        truth: What must be there.
        report: Written.
    """
    topics = settings.topics
    output, decisions = (
        list(read_topic(settings, topic, "read_committed"))
        for topic in (topics.output, topics.decisions)
    )
    found = decisions_of(decisions)
    truth = truth.given(found)
    report.versions = Counter(one.policy_version for made in found.values() for one in made)
    report.traces = len(truth.expected)
    report.spans = sum(one.spans for one in truth.expected.values())
    report.kept_spans = sum(len(one.span_ids) // 8 for one in truth.expected.values())
    if truth.verdicts_hold:
        _compare_spans(spans_of(output), truth, report)
    else:
        _compare_with_decisions(spans_of(output), found, truth, report)
    _compare_decisions(found, truth, report)
    for topic, committed in ((topics.output, output), (topics.decisions, decisions)):
        seen = sum(1 for _ in read_topic(settings, topic, "read_uncommitted"))
        report.aborted_records += seen - len(committed)


def spans_of(records: Iterable[Read]) -> dict[bytes, list[bytes]]:
    """The span ids of each trace, by another decoder than ours, as often as they stand there."""
    found: dict[bytes, list[bytes]] = {}
    for record in records:
        of_key = bytes.fromhex(record.key.decode())
        ids = found.setdefault(of_key, [])
        for resource in TracesData.FromString(record.value).resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    assert span.trace_id == of_key, f"{record.key!r} holds spans of another trace"
                    ids.append(span.span_id)
    return found


def decisions_of(records: Iterable[Read]) -> dict[bytes, list[Decision]]:
    """The decisions on each trace, as often as they stand there."""
    found: dict[bytes, list[Decision]] = {}
    for record in records:
        decision = Decision.unpack(record.partition, record.key, record.value)
        found.setdefault(decision.trace_id, []).append(decision)
    return found


def input_partitions(settings: Settings) -> dict[bytes, int]:
    """On which partition of the input each trace is that the topic still has."""
    return {
        bytes.fromhex(record.key.decode()): record.partition
        for record in read_topic(settings, settings.topics.input, "read_uncommitted")
        if record.key != CLOSING_KEY
    }


def _compare_spans(found: Mapping[bytes, list[bytes]], truth: Truth, report: Report) -> None:
    for trace_id, one in truth.expected.items():
        ids = found.get(trace_id, [])
        if trace_id in truth.cut:
            report.duplicated_spans += len(ids) - len(set(ids))
        elif b"".join(sorted(ids)) != one.span_ids:
            _compare_trace(trace_id, Counter(ids), one, report)
    for trace_id in found.keys() - truth.expected.keys():
        report.foreign_spans += len(found[trace_id])
        report.note(f"trace {trace_id.hex()} is in the output and was never written")


def _compare_trace(trace_id: bytes, has: Counter[bytes], one: Expected, report: Report) -> None:
    must = Counter(_cut(one.span_ids))
    lost = must - has
    copies = Counter({span: times - 1 for span, times in has.items() if times > 1})
    foreign = Counter(has.keys() - must.keys())
    report.lost_spans += lost.total()
    report.duplicated_spans += copies.total()
    report.foreign_spans += foreign.total()
    report.note(
        f"trace {trace_id.hex()} ({one.decision} by {one.policy}, {one.spans} spans, {len(must)} "
        f"to keep): lost {_hex(lost)}, duplicated {_hex(copies)}, foreign {_hex(foreign)}"
    )


def _compare_with_decisions(
    found: Mapping[bytes, list[bytes]],
    decisions: Mapping[bytes, list[Decision]],
    truth: Truth,
    report: Report,
) -> None:
    """A sampled trace must be there whole, late spans and all; of the others nothing."""
    for trace_id, one in truth.expected.items():
        ids = found.get(trace_id, [])
        sampled = any(decision.decision == "sampled" for decision in decisions.get(trace_id, ()))
        lost = one.spans - len(set(ids)) if sampled else 0
        foreign = 0 if sampled else len(ids)
        copies = len(ids) - len(set(ids))
        report.lost_spans += lost
        report.foreign_spans += foreign
        report.duplicated_spans += copies
        if lost or foreign or copies:
            report.note(
                f"trace {trace_id.hex()} ({decisions.get(trace_id)}, {one.spans} spans): "
                f"lost {lost}, duplicated {copies}, foreign {foreign}"
            )


def _compare_decisions(found: Mapping[bytes, list[Decision]], truth: Truth, report: Report) -> None:
    for trace_id, one in truth.expected.items():
        decisions = found.get(trace_id, [])
        must = one.decision, one.policy, truth.partitions[trace_id]
        wrong = [d for d in decisions if (d.decision, d.policy, d.partition) != must]
        if trace_id in truth.cut or not truth.verdicts_hold:
            wrong = [d for d in decisions if d.partition != must[-1]]
        missing = max(truth.cut.get(trace_id, 1) - len(decisions), 0)
        report.missing_decisions += missing
        report.extra_decisions += max(len(decisions) - 1, 0)
        report.wrong_decisions += len(wrong)
        report.early_decisions += sum(d.trigger == "limit" for d in decisions)
        if wrong or missing or len(decisions) > 1:
            report.note(f"trace {trace_id.hex()} must be {must}, decided {decisions or 'never'}")
    for trace_id in found.keys() - truth.expected.keys():
        report.extra_decisions += len(found[trace_id])
        report.note(f"trace {trace_id.hex()} was decided and never written")


def _cut(span_ids: bytes) -> list[bytes]:
    return [span_ids[at : at + 8] for at in range(0, len(span_ids), 8)]


def _hex(spans: Counter[bytes]) -> list[str]:
    return [span.hex() for span in list(spans)[:EXAMPLES]]
