"""One policy with a memory, asked about batches of traces one after the other."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamsampler.policies import (
    CompiledSet,
    TenantNumbers,
    Verdicts,
    Votes,
    compile_policies,
    load_policy_set,
)
from streamsampler.policies.policy_type import Compilation
from tests.conformance.due_traces import Span, Trace, due_traces


def text_of(policy_type: str, settings: str | Mapping[str, object]) -> str:
    """A set of one policy; its settings in YAML's flow form, or as data."""
    written = settings if isinstance(settings, str) else json.dumps(settings)
    return f"policies: [{{name: p, type: {policy_type}, {policy_type}: {written}}}]"


def of_spans(count: int, at_ms: int = 0) -> Trace:
    return Trace((Span(),) * count, decided_ms=at_ms)


@dataclass
class OnePolicy:
    """A policy in force.

    Attributes:
        text: The set.
        partitions: How many the topic has.
    """

    text: str
    partitions: int = 1

    def __post_init__(self) -> None:
        self.tenants = TenantNumbers()
        self.compilation = Compilation(self.tenants, partitions=self.partitions)
        self.compiled = self.compile()

    def compile(self) -> CompiledSet:
        """As a reload does: afresh, with the same memory."""
        policy_set = load_policy_set(self.text, "table")
        return compile_policies(policy_set, self.tenants, compilation=self.compilation)

    def decide(self, traces: Sequence[Trace], partitions: Sequence[int] = ()) -> Verdicts:
        due = due_traces(traces, self.compiled, self.tenants)
        if partitions:
            due = replace(due, partition=np.array(partitions, np.int32))
        return self.compiled.decide(due)

    def votes(self, traces: Sequence[Trace], asked: Sequence[bool] = ()) -> Votes:
        due = due_traces(traces, self.compiled, self.tenants)
        return self.compiled.voters[0].vote(due, np.array(asked or [True] * len(traces)))

    def keeps(self, traces: Sequence[Trace], partitions: Sequence[int] = ()) -> list[bool]:
        return [decision == 1 for decision in self.decide(traces, partitions).decision.tolist()]


def letters(kept: Sequence[bool]) -> str:
    return "".join("y" if one else "n" for one in kept)
