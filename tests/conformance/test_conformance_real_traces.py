"""A real Collector's verdicts on real traces: the same policies keep the same traces."""

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from streamsampler.policies import load_policy_set
from tests.conformance.due_traces import MS, Span, Trace, decide

REAL = Path(__file__).parent.parent / "data" / "real"


def strings(attributes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {a["key"]: a["value"]["stringValue"] for a in attributes if "stringValue" in a["value"]}


def spans(path: Path) -> Iterator[tuple[str, Span]]:
    with gzip.open(path, "rt") as lines:
        for line in lines:
            for resource in json.loads(line)["resourceSpans"]:
                shared = strings(resource["resource"].get("attributes", ()))
                for scope in resource["scopeSpans"]:
                    for span in scope["spans"]:
                        yield (
                            span["traceId"],
                            Span(
                                status=span.get("status", {}).get("code", 0),
                                attributes=strings(span.get("attributes", ())),
                                resource=shared,
                                start_ns=int(span["startTimeUnixNano"]),
                                end_ns=int(span["endTimeUnixNano"]),
                            ),
                        )


def first_to_keep(trace: Trace) -> int:
    if any(span.status == 2 for span in trace.spans):
        return 0
    if trace.duration_ns > 700 * MS:
        return 1
    held = [h for span in trace.spans for h in (span.attributes, span.resource)]
    return 2 if any(h.get("tenant.id") == "globex" for h in held) else 3


def test_exactly_the_traces_that_the_collector_kept() -> None:
    by_trace: dict[str, list[Span]] = defaultdict(list)
    for trace_id, span in spans(REAL / "traces.jsonl.gz"):
        by_trace[trace_id].append(span)
    traces = [Trace(tuple(s), bytes.fromhex(trace_id)) for trace_id, s in by_trace.items()]
    policies = REAL / "policies.yaml"
    verdicts = decide(load_policy_set(policies.read_text(), policies.name), traces)
    kept = {
        trace.trace_id.hex(): len(trace.spans)
        for trace, decision in zip(traces, verdicts.decision, strict=True)
        if decision == 1
    }
    assert kept == json.loads((REAL / "kept-by-the-collector.json").read_text())
    named = [verdicts.policy[i] for i, d in enumerate(verdicts.decision) if d == 1]
    assert named == [first_to_keep(trace) for trace in traces if trace.trace_id.hex() in kept]
    assert set(named) == {0, 1, 2, 3}  # each of the four policies has traces of its own
