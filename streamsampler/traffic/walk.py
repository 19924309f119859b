"""One request's way through the shop, written down as spans.

Hot: about 8 µs a span. True time runs along the walk; each span is stamped by the clock of the
host that it ran on.
"""

from dataclasses import dataclass, replace
from math import exp
from random import Random

from streamsampler.traffic.fleet import Fleet, Tenants
from streamsampler.traffic.model import (
    CLIENT,
    CONSUMER,
    ERROR,
    INTERNAL,
    OK,
    SERVER,
    UNSET,
    Attribute,
    Event,
    Link,
    Resource,
    Span,
)
from streamsampler.traffic.operations import Call, Operation
from streamsampler.traffic.settings import TrafficSettings

_MILLISECOND = 1_000_000
_PARENT_KNOWN, _PARENT_REMOTE, _SAMPLED = 0x100, 0x200, 0x01
_REMOTE_KINDS = (SERVER, CONSUMER)
_FOREIGN_SHARE = 0.01
_DETACHED_PART = 0.4  # of the spread: the rest is left for the record's way


@dataclass(frozen=True, slots=True)
class Request:
    """What begins a trace.

    Attributes:
        operation: the entrance.
        start_ns: true time, ns since the epoch.
        tenant: by its place among the tenants, or none.
        canary: whether canary instances serve it.
        links: to the sender, when a message began it.
    """

    operation: Operation
    start_ns: int
    tenant: int | None
    canary: bool
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Walked:
    """A request's spans, before anything happens to them on their way.

    Attributes:
        request: what began it.
        spans: in the order of their true ends: children before parents, unless detached.
        root_end_ns: true end of the root, ns since the epoch.
        sent: the requests that its messages begin.
    """

    request: Request
    spans: list[Span]
    root_end_ns: int
    sent: list[Request]


def walk(
    request: Request, fleet: Fleet, of_tenants: Tenants, settings: TrafficSettings, random: Random
) -> Walked:
    """Follows a request through the shop.

    Args:
        request: what begins the trace.
        fleet: the instances that serve it.
        of_tenants: who it may be for.
        settings: limits and shares.
        random: chance.

    Returns:
        Its spans, at most `max_spans`, over at most `long_trace_ms`.
    """
    walker = _Walker(request, fleet, of_tenants, settings, random)
    root_end_ns, _ = walker.visit(request.operation, b"", request.start_ns, request.links)
    spans, sent = walker.spans, walker.sent
    limit_ns = settings.long_trace_ms * _MILLISECOND
    if root_end_ns - request.start_ns > limit_ns:
        begin, length = request.start_ns, root_end_ns - request.start_ns
        spans = [_squeeze(span, begin, limit_ns, length) for span in spans]
        sent = [
            replace(each, start_ns=begin + (each.start_ns - begin) * limit_ns // length)
            for each in sent
        ]
        root_end_ns = begin + limit_ns
    spans.sort(key=lambda span: span.end_ns - span.resource.skew_ns)
    return Walked(request, spans, root_end_ns, sent)


def _squeeze(span: Span, begin_ns: int, limit_ns: int, length_ns: int) -> Span:
    def moved(time_ns: int) -> int:
        origin = begin_ns + span.resource.skew_ns
        return origin + (time_ns - origin) * limit_ns // length_ns

    return replace(
        span,
        start_ns=moved(span.start_ns),
        end_ns=moved(span.end_ns),
        events=tuple(replace(event, time_ns=moved(event.time_ns)) for event in span.events),
    )


def _trace_states(share: float, random: Random) -> dict[int, str]:
    """Draws the tracestate that a trace's spans carry, by span kind; mostly none at all."""
    if random.random() >= share:
        return {}
    first, second = random.getrandbits(56), random.getrandbits(56)
    # Half of all randomness passes a threshold of 8: what came in was sampled, so it did.
    passed = first | 1 << 55
    state = random.choice(
        (
            f"ot=th:8;rv:{passed:014x},vendor=x",
            f"vendor=x,ot=rv:{first:014x}",
            "ot=th:0",
            "vendor=x,other=a:b",
        )
    )
    states = dict.fromkeys(range(1, 6), state)
    match random.randrange(4):
        case 0:
            states[CLIENT] = f"ot=rv:{second:014x}"
        case 1:
            del states[INTERNAL]
    return states


class _Walker:
    """What one walk needs at hand at every span."""

    __slots__ = (
        "_detached_limit_ns",
        "_fleet",
        "_foreign",
        "_places",
        "_random",
        "_request",
        "_room",
        "_states",
        "_tenant",
        "_trace_id",
        "sent",
        "spans",
    )

    def __init__(
        self,
        request: Request,
        fleet: Fleet,
        of_tenants: Tenants,
        settings: TrafficSettings,
        random: Random,
    ) -> None:
        self.spans: list[Span] = []
        self.sent: list[Request] = []
        self._trace_id = (random.getrandbits(128) or 1).to_bytes(16, "big")
        self._request, self._fleet, self._random = request, fleet, random
        self._room = settings.max_spans
        self._places: dict[str, Resource] = {}
        self._states = _trace_states(settings.tracestate_share, random)
        self._detached_limit_ns = int(settings.spread_ms * _DETACHED_PART * _MILLISECOND)
        known = of_tenants.attributes
        self._tenant: tuple[Attribute, ...] = (
            () if request.tenant is None else (known[request.tenant],)
        )
        # A connection shared between tenants: its spans name another one than the request.
        foreign = random.random() < _FOREIGN_SHARE
        self._foreign = (known[of_tenants.draw(random)],) if foreign else ()

    def visit(
        self,
        operation: Operation,
        parent_id: bytes,
        start_ns: int,
        links: tuple[Link, ...] = (),
        *,
        detached: bool = False,
    ) -> tuple[int, bool]:
        """Runs an operation and all that it calls.

        Args:
            operation: what runs.
            parent_id: the caller's span, 8 bytes, or none.
            start_ns: true time, ns since the epoch.
            links: on its span.
            detached: whether its own time is bounded, as nobody waits for it.

        Returns:
            True end in ns since the epoch, and whether it failed.
        """
        random = self._random
        self._room -= 1
        span_id = (random.getrandbits(64) or 1).to_bytes(8, "big")
        own = int(operation.median_ms * exp(operation.sigma * random.gauss()) * _MILLISECOND)
        if detached:
            own = min(own, self._detached_limit_ns)
        now, failed = self._steps(operation, span_id, start_ns + own // 3)
        end_ns = now + own - own // 3
        failure = operation.failure
        own_failure = failure is not None and random.random() < failure.share
        failed = failed or own_failure
        resource = self._place(operation.service)
        skew_ns = resource.skew_ns
        events: tuple[Event, ...] = ()
        if own_failure and failure is not None:
            events = (Event(end_ns - own // 8 + skew_ns, "exception", failure.exception),)
        elif operation.event:
            events = (Event(now + skew_ns, operation.event, operation.attributes[:1]),)
        remote = _PARENT_REMOTE if parent_id and operation.kind in _REMOTE_KINDS else 0
        self.spans.append(
            Span(
                self._trace_id,
                span_id,
                parent_id,
                operation.name,
                operation.kind,
                start_ns + skew_ns,
                end_ns + skew_ns,
                ERROR if failed else OK if operation.sets_ok else UNSET,
                failure.message if own_failure and failure is not None else "",
                self._attributes(operation, failed=failed),
                events,
                links,
                self._states.get(operation.kind, ""),
                _PARENT_KNOWN | remote | (_SAMPLED if resource.sampled_flag else 0),
                resource,
                operation.scope,
            )
        )
        return end_ns, failed

    def _steps(self, operation: Operation, span_id: bytes, now_ns: int) -> tuple[int, bool]:
        random = self._random
        for call in operation.calls:
            if call.share < 1 and random.random() >= call.share:
                continue
            fewest, most = call.times
            for _ in range(fewest if fewest == most else random.randint(fewest, most)):
                if call.queued:
                    self._send(call, span_id, now_ns)
                    continue
                if self._room <= 0:
                    return now_ns, False
                end_ns, failed = self.visit(call.to, span_id, now_ns, detached=call.detached)
                if call.detached:
                    continue
                now_ns = end_ns
                if failed and random.random() >= operation.handles:
                    return now_ns, True
        return now_ns, False

    def _send(self, call: Call, span_id: bytes, now_ns: int) -> None:
        flags = _PARENT_KNOWN | _PARENT_REMOTE
        transit_ns = int(25 * exp(0.8 * self._random.gauss()) * _MILLISECOND)
        self.sent.append(
            Request(
                call.to,
                now_ns + transit_ns,
                self._request.tenant,
                self._request.canary,
                (Link(self._trace_id, span_id, flags),),
            )
        )

    def _place(self, service: str) -> Resource:
        place = self._places.get(service)
        if place is None:
            request = self._request
            place = self._fleet.place(
                service, canary=request.canary, tenant=request.tenant, random=self._random
            )
            self._places[service] = place
        return place

    def _attributes(self, operation: Operation, *, failed: bool) -> tuple[Attribute, ...]:
        found = operation.attributes
        if operation.varying:
            random = self._random.random
            found += tuple([pool[int(random() * len(pool))] for pool in operation.varying])
        if operation.outcome is not None:
            found += (operation.outcome[failed],)
        if operation.tenant:
            found += self._tenant
        elif self._foreign and operation.kind == CLIENT:
            found += self._foreign
        return found
