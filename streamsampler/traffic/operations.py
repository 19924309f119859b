"""The vocabulary of the shop: what an operation is, and the kinds that services are made of.

Latencies are of the operation's own time, besides its calls; each is log-normal with the median
and sigma given here.
"""

from dataclasses import dataclass
from typing import Any

from streamsampler.traffic.model import (
    CLIENT,
    CONSUMER,
    INTERNAL,
    PRODUCER,
    SERVER,
    Attribute,
    Scope,
)
from streamsampler.traffic.wire import AttributeValue


@dataclass(frozen=True, slots=True)
class Call:
    """One step of an operation.

    Attributes:
        to: the operation called.
        share: how often the step is taken, 0 to 1.
        times: fewest and most repetitions.
        detached: not waited for; the child may outlive its parent.
        queued: sent as a message; the operation begins a trace of its own, linked to the caller.
    """

    to: "Operation"
    share: float = 1.0
    times: tuple[int, int] = (1, 1)
    detached: bool = False
    queued: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """How an operation fails by itself.

    Attributes:
        share: of its visits, 0 to 1.
        message: the status' message.
        exception: the attributes of the exception event.
    """

    share: float
    message: str
    exception: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """What a service does under one span name.

    Attributes:
        service: where it runs.
        name: the span's name.
        kind: the span's kind.
        scope: the library that makes the span.
        median_ms: median of its own time, ms.
        sigma: of the logarithm of its own time.
        attributes: the same on every span.
        varying: pools; a span gets one attribute of each.
        calls: its steps, in order.
        failure: how it fails by itself, if it does.
        handles: share of its steps' errors that end here and do not fail it.
        outcome: attribute of a success and of a failure, or none.
        tenant: whether its spans name the tenant.
        sets_ok: whether success is status OK instead of UNSET.
        event: name of an event on every span, or empty.
    """

    service: str
    name: str
    kind: int
    scope: Scope
    median_ms: float
    sigma: float = 0.5
    attributes: tuple[Attribute, ...] = ()
    varying: tuple[tuple[Attribute, ...], ...] = ()
    calls: tuple[Call, ...] = ()
    failure: Failure | None = None
    handles: float = 0.3
    outcome: tuple[Attribute, Attribute] | None = None
    tenant: bool = False
    sets_ok: bool = False
    event: str = ""


_SCHEMA = "https://opentelemetry.io/schemas/1.27.0"
HTTP_SERVER = Scope("shop.instrumentation.http.server", "0.61b0", _SCHEMA)
HTTP_CLIENT = Scope("shop.instrumentation.http.client", "0.61b0", _SCHEMA)
DATABASE = Scope("shop.instrumentation.sql", "2.4.1")
MESSAGING = Scope("shop.instrumentation.queue", "1.9.0", _SCHEMA)
OWN_CODE = Scope("shop.code", "3.2.0")

_HTTP_OUTCOME = (
    Attribute("http.response.status_code", 200),
    Attribute("http.response.status_code", 500),
)


def attributes(**values: AttributeValue) -> tuple[Attribute, ...]:
    """Makes attributes from keywords.

    Args:
        **values: name and value; a double underscore stands for a dot.

    Returns:
        The attributes in order.
    """
    return tuple(Attribute(name.replace("__", "."), value) for name, value in values.items())


def pool(key: str, *values: AttributeValue) -> tuple[Attribute, ...]:
    """Makes a pool from which each span draws one attribute.

    Args:
        key: the attribute's name.
        *values: what it may be; repeat a value to make it likelier.

    Returns:
        The pool.
    """
    return tuple(Attribute(key, value) for value in values)


def failing(share: float, kind: str, message: str, frames: int = 6) -> Failure:
    """Makes a failure with an exception as instrumentation records it.

    Args:
        share: of the operation's visits, 0 to 1.
        kind: the exception's type.
        message: what it says.
        frames: lines of its stack trace.

    Returns:
        The failure.
    """
    lines = [f"  at {kind.lower()}_{depth} (shop/step_{depth}.py:{17 * depth + 4})" for depth in
             range(frames)]  # fmt: skip
    trace = "\n".join((f"{kind}: {message}", *lines))
    exception = attributes(
        exception__type=kind,
        exception__message=message,
        exception__stacktrace=trace,
        exception__escaped=False,
    )
    return Failure(share, f"{kind}: {message}", exception)


def http_server(service: str, route: str, median_ms: float, **rest: Any) -> Operation:
    """An HTTP endpoint.

    Args:
        service: where it runs.
        route: method and route, which is its name.
        median_ms: median of its own time, ms.
        **rest: other fields of `Operation`; `attributes` are added to those of HTTP.

    Returns:
        The operation.
    """
    method, _, path = route.partition(" ")
    own = attributes(
        http__request__method=method,
        url__scheme="http",
        server__address=service,
        server__port=8080,
        http__route=path,
        network__protocol__version="1.1",
    )
    given: dict[str, Any] = {
        "outcome": _HTTP_OUTCOME,
        **rest,
        "attributes": own + rest.get("attributes", ()),
    }
    return Operation(service, route, SERVER, HTTP_SERVER, median_ms, **given)


def http_call(service: str, to: Operation, **rest: Any) -> Operation:
    """The client's side of an HTTP call; an error of the server's is always its own too.

    Args:
        service: the caller.
        to: the endpoint.
        **rest: other fields of `Operation`.

    Returns:
        The operation.
    """
    method, _, path = to.name.partition(" ")
    own = attributes(
        http__request__method=method,
        url__full=f"http://{to.service}:8080{path}",
        server__address=to.service,
    )
    given = {"outcome": _HTTP_OUTCOME, **rest}
    return Operation(
        service,
        method,
        CLIENT,
        HTTP_CLIENT,
        1.5,
        attributes=own,
        calls=(Call(to),),
        handles=0.0,
        **given,
    )


def query(service: str, statement: str, median_ms: float, **rest: Any) -> Operation:
    """A query to a database that makes no spans of its own.

    Args:
        service: the caller.
        statement: its text; the first word and the last make the span's name.
        median_ms: median of its time, ms.
        **rest: other fields of `Operation`.

    Returns:
        The operation.
    """
    own = attributes(
        db__system="postgresql",
        db__namespace="shop",
        db__query__text=statement,
        server__address="db.internal",
    )
    name = f"{statement.split(maxsplit=1)[0]} {service}"
    return Operation(service, name, CLIENT, DATABASE, median_ms, attributes=own, **rest)


def step(service: str, name: str, median_ms: float, **rest: Any) -> Operation:
    """A step within a service.

    Args:
        service: where it runs.
        name: the span's name.
        median_ms: median of its own time, ms.
        **rest: other fields of `Operation`.

    Returns:
        The operation.
    """
    return Operation(service, name, INTERNAL, OWN_CODE, median_ms, **rest)


def publish(service: str, topic: str, consumer: Operation) -> Operation:
    """Sends a message whose consumer begins a trace of its own.

    Args:
        service: the sender.
        topic: where it is sent.
        consumer: what is done with it.

    Returns:
        The operation.
    """
    own = attributes(
        messaging__system="kafka",
        messaging__destination__name=topic,
        messaging__operation__type="send",
    )
    to = (Call(consumer, queued=True),)
    return Operation(service, f"send {topic}", PRODUCER, MESSAGING, 1.2, attributes=own, calls=to)


def consume(service: str, topic: str, median_ms: float, **rest: Any) -> Operation:
    """Handles a message; the root of a trace.

    Args:
        service: the receiver.
        topic: where it came from.
        median_ms: median of its own time, ms.
        **rest: other fields of `Operation`.

    Returns:
        The operation.
    """
    own = attributes(
        messaging__system="kafka",
        messaging__destination__name=topic,
        messaging__operation__type="process",
        messaging__kafka__partition=3,
    )
    name = f"process {topic}"
    return Operation(service, name, CONSUMER, MESSAGING, median_ms, attributes=own, **rest)
