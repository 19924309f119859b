"""Requests, errors and durations: figures of groups, services and pairs, before any sampling."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from streamsampler.estimates.summaries import Group, PairSummary, Services, ServiceSummary
from topologies.durations import Sums

RANKS: Final = (0.5, 0.95, 0.99)
Figures = dict[str, Any]


def text(name: bytes) -> str:
    """Show a name from a span; what is no UTF-8 in it is replaced."""
    return name.decode(errors="replace")


def group_figures(groups: Mapping[Group, Sums], seconds: float) -> list[Figures]:
    """Tell what groups of traces do.

    Args:
        groups: Their sums.
        seconds: Of stream time that the sums are of.

    Returns:
        One for each group, those with most traces first: counts, traces a second, the share with an
        error, durations in ms (None where nothing was measured).
    """
    ranked = sorted(groups.items(), key=lambda item: (-item[1].counts[0], item[0]))
    return [_group(group, sums, seconds) for group, sums in ranked]


def _group(group: Group, sums: Sums, seconds: float) -> Figures:
    traces, spans, size, errors, kept, rootless, orphaned = sums.counts
    tenant, service, name = group
    p50, p95, p99 = sums.quantiles(RANKS) or (None, None, None)
    return {
        "tenant": text(tenant),
        "root_service": text(service),
        "root_name": text(name),
        "traces": traces,
        "traces_per_second": traces / seconds,
        "adjusted": sums.adjusted,
        "spans": spans,
        "bytes": size,
        "errors": errors,
        "error_share": _share(errors, traces),
        "kept": kept,
        "rootless": rootless,
        "orphaned": orphaned,
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
    }


def service_figures(rows: Iterable[ServiceSummary], seconds: float) -> list[Figures]:
    """Tell what services do, those with most spans first.

    Args:
        rows: In any order.
        seconds: Of stream time that they are of.

    Returns:
        One for each service.
    """
    total: dict[bytes, Figures] = {}
    for row in rows:
        have = total.setdefault(row.service, {"service": text(row.service), "missing": {}})
        for name in ("spans", "errors", "entry_spans", "lost_context", "oversized"):
            have[name] = have.get(name, 0) + getattr(row, name)
        for attribute, count in row.missing_attributes.items():
            key = text(attribute)
            have["missing"][key] = have["missing"].get(key, 0) + count
    ranked = sorted(total.items(), key=lambda item: (-item[1]["spans"], item[0]))
    return [
        {
            "service": have["service"],
            "spans": have["spans"],
            "spans_per_second": have["spans"] / seconds,
            "errors": have["errors"],
            "error_share": _share(have["errors"], have["spans"]),
            "entry_spans": have["entry_spans"],
            "lost_context": have["lost_context"],
            "oversized": have["oversized"],
            "missing_attributes": dict(sorted(have["missing"].items())),
        }
        for _, have in ranked
    ]


def pair_figures(rows: Iterable[PairSummary], seconds: float) -> list[Figures]:
    """Tell who calls whom, the most frequent first.

    Args:
        rows: In any order.
        seconds: Of stream time that they are of.

    Returns:
        One for each pair.
    """
    names = ("calls", "errors", "orphans", "skew_ms_sum", "skews")
    total: dict[tuple[bytes, bytes], dict[str, float]] = {}
    for row in rows:
        have = total.setdefault((row.caller, row.callee), dict.fromkeys(names, 0))
        for name in names:
            have[name] += getattr(row, name)
    ranked = sorted(total.items(), key=lambda item: (-item[1]["calls"], item[0]))
    return [
        {
            "caller": text(caller),
            "callee": text(callee),
            "calls": have["calls"],
            "calls_per_second": have["calls"] / seconds,
            "errors": have["errors"],
            "error_share": _share(have["errors"], have["calls"]),
            "orphans": have["orphans"],
            "clock_skew_ms": have["skew_ms_sum"] / have["skews"] if have["skews"] else None,
        }
        for (caller, callee), have in ranked
    ]


def services_of(body: object) -> Services:
    """Take services and pairs out of a summary's body; none where it is of another kind."""
    return body if isinstance(body, Services) else Services((), ())


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
