"""Many traces at once: their records interleaved on a simulated clock, in the order of a topic."""

from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from itertools import accumulate, count
from math import inf
from random import Random

from streamsampler.traffic.delivery import Delivered, deliver
from streamsampler.traffic.fleet import Fleet, Tenants, tenants
from streamsampler.traffic.hostile import bad_record
from streamsampler.traffic.model import GeneratedRecord, Trace
from streamsampler.traffic.settings import MIXED_WINDOW_MS, TrafficSettings
from streamsampler.traffic.shop import ENTRANCES
from streamsampler.traffic.walk import Request, walk

_MILLISECOND = 1_000_000
_SECOND = 1_000_000_000
_MOST_MIXED = 10
_TRICKLE = 100.0  # spans a second, below which other traces may pause for seconds


class Traffic:
    """A run of the shop: its records, and the traces behind them.

    Attributes:
        settings: what shapes it.
        traces: those made so far, in order of their making; empty when `on_trace` takes them.
    """

    def __init__(
        self, settings: TrafficSettings, on_trace: Callable[[Trace], None] | None = None
    ) -> None:
        """Prepares a run.

        Args:
            settings: what shapes it.
            on_trace: called with each trace when it is made, before its first record comes;
                without it the traces are kept in `traces`.
        """
        self.settings = settings
        self.traces: list[Trace] = []
        self._on_trace = on_trace

    def records(self) -> Iterator[GeneratedRecord]:
        """Runs the shop, from its beginning at each call.

        Returns:
            The records in stream order. Timestamps rise, but for `jitter_ms` and
            `out_of_order_ms`.
        """
        self.traces = []
        on_trace = self._on_trace or self.traces.append
        settings = self.settings
        stream = _interleaved(settings, on_trace)
        if not settings.unkeyed_share:
            return stream
        return _mixed(stream, settings.unkeyed_share, _random(settings, "mixed"))


def generate(settings: TrafficSettings) -> Iterator[GeneratedRecord]:
    """Generates records alone, in bounded memory.

    Args:
        settings: what shapes them.

    Returns:
        The records in stream order.
    """
    return Traffic(settings, on_trace=lambda _: None).records()


def _random(settings: TrafficSettings, purpose: str) -> Random:
    """A source of chance for one purpose, so that an option does not change all the others."""
    return Random(f"{settings.seed}/{purpose}")  # noqa: S311 - reproducible on purpose


def _interleaved(
    settings: TrafficSettings, on_trace: Callable[[Trace], None]
) -> Iterator[GeneratedRecord]:
    ways = _random(settings, "ways")
    disorder = _random(settings, "disorder")
    hostile = _random(settings, "hostile")
    bad_at = _bad_places(settings, hostile)
    waiting: list[tuple[float, int, GeneratedRecord]] = []
    numbers = count()

    def enqueue(record: GeneratedRecord) -> None:
        place = record.time_ms + settings.jitter_ms * disorder.random()
        if settings.out_of_order_ms:
            place += settings.out_of_order_ms * disorder.random()
        heappush(waiting, (place, next(numbers), record))

    made = 0
    for start_ms, deliveries in _arrivals(settings, ways):
        # Nothing made from here on can come before this moment.
        while waiting and waiting[0][0] <= start_ms:
            yield heappop(waiting)[2]
        for delivered in deliveries:
            on_trace(delivered.trace)
            for record in delivered.records:
                enqueue(record)
            for _ in range(bad_at[made]):
                at_ms = int(start_ms + settings.spread_ms * hostile.random()) + 1
                enqueue(bad_record(hostile, at_ms))
            made += 1
    while waiting:
        yield heappop(waiting)[2]


def _bad_places(settings: TrafficSettings, random: Random) -> Counter[int]:
    return Counter(random.randrange(settings.traces) for _ in range(settings.bad_records))


def _arrivals(settings: TrafficSettings, random: Random) -> Iterator[tuple[float, list[Delivered]]]:
    """Makes traces as a Poisson process of the given rate in spans.

    Yields:
        When a request comes, ms since the epoch, and the traces that it leads to: its own and
        those that its messages begin.
    """
    of_tenants = tenants(settings.tenants)
    fleet = Fleet(settings, random, of_tenants)
    bounds = list(accumulate(share for share, _ in ENTRANCES))
    start_ns = settings.start_ms * _MILLISECOND
    left = settings.traces or inf
    while left > 0:
        tenant = of_tenants.draw(random)
        request = Request(
            ENTRANCES[min(bisect(bounds, random.random()), len(bounds) - 1)][1],
            start_ns,
            None if random.random() < settings.anonymous_share else tenant,
            random.random() < settings.canary_share,
        )
        horizon_ms = start_ns / _MILLISECOND + _surely_on_ms(left, settings)
        deliveries = []
        pending = [request]
        spans = 0
        while pending and left > 0:
            walked = walk(pending.pop(0), fleet, of_tenants, settings, random)
            headers = _headers(walked.request, of_tenants, settings)
            deliveries.append(deliver(walked, headers, settings, random, horizon_ms))
            pending += walked.sent
            spans += len(walked.spans)
            left -= 1
        yield start_ns / _MILLISECOND, deliveries
        # In proportion to what it made, so that the rate holds in spans.
        start_ns += int(spans / settings.spans_per_second * random.expovariate(1.0) * _SECOND)


def _surely_on_ms(left: float, settings: TrafficSettings) -> float:
    """How long other traces surely go on: half of what is expected, nothing at a trickle."""
    if settings.spans_per_second < _TRICKLE:
        return 0.0
    return left * settings.mean_spans / settings.spans_per_second * 1000 / 2


def _headers(
    request: Request, of_tenants: Tenants, settings: TrafficSettings
) -> tuple[tuple[str, bytes], ...]:
    if not settings.tenant_header or request.tenant is None:
        return ()
    name = of_tenants.attributes[request.tenant].value
    return ((settings.tenant_header, str(name).encode()),)


def _mixed(
    stream: Iterable[GeneratedRecord], share: float, random: Random
) -> Iterator[GeneratedRecord]:
    """Gathers neighbours into records without a key, as a Collector that does not partition."""
    gathered: list[GeneratedRecord] = []
    wanted = 0
    for record in stream:
        closes = gathered and (
            record.fault is not None
            or len(gathered) == wanted
            or abs(record.time_ms - gathered[0].time_ms) > MIXED_WINDOW_MS
        )
        if closes:
            yield _joined(gathered)
            gathered = []
        if record.fault is None and (gathered or random.random() < share):
            wanted = wanted if gathered else random.randint(2, _MOST_MIXED)
            gathered.append(record)
        else:
            yield record
    if gathered:
        yield _joined(gathered)


def _joined(records: list[GeneratedRecord]) -> GeneratedRecord:
    # Protobuf messages concatenate: the joined values are one TracesData.
    return GeneratedRecord(
        None,
        b"".join(record.value for record in records),
        max(record.time_ms for record in records),
        batches=tuple(batch for record in records for batch in record.batches),
        late=all(record.late for record in records),
        duplicate=all(record.duplicate for record in records),
    )
