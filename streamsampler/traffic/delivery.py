"""From spans to records: what is lost, what is late, and when each record comes.

A trace's spans are cut into records by resource and scope. What is on time arrives within
`spread_ms` of the root's end; `TrafficSettings.misfits` relies on it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from random import Random

from streamsampler.traffic.model import Batch, GeneratedRecord, Resource, Scope, Span, Trace
from streamsampler.traffic.otlp_proto import traces_data
from streamsampler.traffic.settings import LATE_END_MS, TrafficSettings
from streamsampler.traffic.walk import Walked

_MILLISECOND = 1_000_000
_MOST_LATE_SPANS = 3
_RECORD_SIZES = (1, 3, 8, 20, 20, 20)
_STRAGGLERS = 0.1


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a trace's spans.

    Attributes:
        on_time: those that arrive before the decision, in order of their true ends.
        late: those that arrive after it.
    """

    on_time: list[Span]
    late: list[Span]


@dataclass(frozen=True, slots=True)
class Delivered:
    """A trace with the records that carry it.

    Attributes:
        trace: what the sampler will see.
        records: in order of arrival.
    """

    trace: Trace
    records: list[GeneratedRecord]


def draw_fate(walked: Walked, settings: TrafficSettings, random: Random) -> Fate:
    """Decides whether a trace loses a parent, or has late spans, or neither.

    Args:
        walked: the trace as it ran.
        settings: shares.
        random: chance.

    Returns:
        Its spans by fate; at least one is on time.
    """
    spans = walked.spans
    chance = random.random()
    if chance < settings.broken_share:
        return Fate(_broken(spans, random), [])
    if chance < settings.broken_share + settings.late_share and len(spans) > 1:
        count = random.randint(1, min(_MOST_LATE_SPANS, len(spans) - 1))
        places = set(random.sample(range(len(spans)), count))
        late = [span for place, span in enumerate(spans) if place in places]
        return Fate([span for place, span in enumerate(spans) if place not in places], late)
    return Fate(spans, [])


def _broken(spans: list[Span], random: Random) -> list[Span]:
    """Loses a parent for good: one within, or the caller outside that began it all."""
    named = {span.parent_id for span in spans}
    inner = [span.span_id for span in spans if span.parent_id and span.span_id in named]
    if inner and random.random() < 0.5:
        lost = random.choice(inner)
        return [span for span in spans if span.span_id != lost]
    outside = (random.getrandbits(64) or 1).to_bytes(8, "big")
    return [span if span.parent_id else replace(span, parent_id=outside) for span in spans]


def deliver(
    walked: Walked,
    headers: tuple[tuple[str, bytes], ...],
    settings: TrafficSettings,
    random: Random,
    late_horizon_ms: float,
) -> Delivered:
    """Cuts a trace into records and gives each its time.

    Args:
        walked: the trace as it ran.
        headers: for each of its records.
        settings: shares and times.
        random: chance.
        late_horizon_ms: until when other traces surely go on, ms since the epoch; a late span
            beyond it must have run on itself, so that time moves also where spans alone tell it.

    Returns:
        The trace and its records.
    """
    fate = draw_fate(walked, settings, random)
    records = _on_time(fate.on_time, walked.root_end_ns, headers, settings, random)
    originals = len(records)
    duplicate_spans = 0
    if settings.duplicate_share:
        deadline = _deadline_ms(walked.root_end_ns, settings)
        for record in records[:originals]:
            if random.random() < settings.duplicate_share:
                again = record.time_ms + random.randint(1, max(1, settings.spread_ms // 10))
                time_ms = max(record.time_ms, min(again, deadline))
                records.append(replace(record, time_ms=time_ms, duplicate=True))
                duplicate_spans += len(record.spans)
    late = fate.late
    if late:
        last_ms = max(record.time_ms for record in records)
        late_ms = last_ms + settings.late_after_ms
        if late_ms > late_horizon_ms or random.random() < 0.5:
            late = [_ran_on(span, late_ms, random) for span in late]
        records += [
            _record(batch, late_ms + number, headers, late=True)
            for number, batch in enumerate(_batches(late, random))
        ]
    records.sort(key=lambda record: record.time_ms)
    trace = Trace(
        fate.on_time[0].trace_id,
        tuple(fate.on_time),
        tuple(late),
        len(records),
        duplicate_spans,
        headers,
    )
    return Delivered(trace, records)


def _ran_on(span: Span, late_ms: int, random: Random) -> Span:
    """Lets a span run until shortly before its record's time."""
    end_ns = late_ms * _MILLISECOND - random.randint(1, LATE_END_MS * _MILLISECOND)
    return replace(span, end_ns=end_ns + span.resource.skew_ns)


def _deadline_ms(root_end_ns: int, settings: TrafficSettings) -> int:
    return root_end_ns // _MILLISECOND + settings.spread_ms


def _on_time(
    spans: list[Span],
    root_end_ns: int,
    headers: tuple[tuple[str, bytes], ...],
    settings: TrafficSettings,
    random: Random,
) -> list[GeneratedRecord]:
    """Exports in order of ends, with growing delays: the root among the last, but stragglers."""
    chance = random.random
    spread = settings.spread_ms
    deadline = _deadline_ms(root_end_ns, settings)
    delay = spread * (0.05 + 0.4 * chance())
    records = []
    for end_ns, batch in sorted(
        ((batch.spans[-1].true_end_ns, batch) for batch in _batches(spans, random)),
        key=lambda pair: pair[0],
    ):
        delay += 0.01 * spread * chance()
        straggles = chance() < _STRAGGLERS and batch.spans[-1].parent_id
        extra = 0.4 * spread * chance() if straggles else 0.0
        # Rounded up: no record may come before what it tells of.
        time_ms = min(int(end_ns / _MILLISECOND + delay + extra) + 1, deadline)
        records.append(_record(batch, time_ms, headers, late=False))
    return records


def _batches(spans: Iterable[Span], random: Random) -> list[Batch]:
    groups: dict[tuple[Resource, Scope], list[Span]] = {}
    for span in spans:
        groups.setdefault((span.resource, span.scope), []).append(span)
    batches = []
    for (resource, scope), group in groups.items():
        begin = 0
        while begin < len(group):
            end = begin + _RECORD_SIZES[int(random.random() * len(_RECORD_SIZES))]
            batches.append(Batch(resource, scope, tuple(group[begin:end])))
            begin = end
    return batches


def _record(
    batch: Batch, time_ms: int, headers: tuple[tuple[str, bytes], ...], *, late: bool
) -> GeneratedRecord:
    key = batch.spans[0].trace_id.hex().encode()
    return GeneratedRecord(key, traces_data((batch,)), time_ms, headers, (batch,), late)
