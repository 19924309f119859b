"""The seam for types of policies: what one type brings along to be registered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from streamsampler.policies.demands import RateTables
from streamsampler.policies.errors import PolicyError
from streamsampler.policies.groups import GroupNumbers, no_groups
from streamsampler.policies.memory import Memory, Owner, State, States
from streamsampler.policies.percentiles import Percentiles
from streamsampler.policies.predicates import SpanPredicate
from streamsampler.policies.schema import Policy, Settings
from streamsampler.policies.tenants import TenantNumbers
from streamsampler.policies.votes import Vote

MAX_PREDICATES: Final = 64
"""A trace's matches are one 64-bit word."""


@dataclass(frozen=True, slots=True)
class Compilation:
    """What a type's compile function may ask for while a set is compiled.

    Attributes:
        tenants: Numbers of tenants.
        bits: The predicates that have a bit, with those of an earlier set.
        asked: The bits of the predicates that were asked for.
        learned: What policies have learned.
        owners: The policies that have asked for what they learned.
        groups: Numbers of groups of traces.
        rates: What the control plane told of goals.
        percentiles: How long the traces of each group take.
        partitions: How many partitions the input topic has. A rate is the group's, and each
            partition has a share of it, an equal one where nobody tells another.
        path: The names from the top policy down to the one being compiled.
        types: The registry of types.
    """

    tenants: TenantNumbers
    bits: dict[SpanPredicate, int] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)
    learned: Memory = field(default_factory=Memory)
    owners: set[Owner] = field(default_factory=set)
    groups: GroupNumbers = field(default_factory=no_groups)
    rates: RateTables = field(default_factory=RateTables)
    percentiles: Percentiles = field(default_factory=lambda: Percentiles(no_groups()))
    partitions: int = 1
    path: tuple[str, ...] = ()
    types: "Mapping[str, PolicyType]" = field(default_factory=dict)

    def bit(self, predicate: SpanPredicate) -> int:
        """The bit of a predicate; equal predicates share one.

        Args:
            predicate: What the scan is to ask of each span.

        Returns:
            0 to 63.

        Raises:
            PolicyError: The set asks for more predicates than there are bits.
        """
        bit = self.bits.get(predicate)
        if bit is None:
            taken = set(self.bits.values())
            bit = next((bit for bit in range(MAX_PREDICATES) if bit not in taken), None)
        if bit is None:
            problem = (
                f"policies ask more than {MAX_PREDICATES} different questions of each span; "
                "merge those that test the same key, or leave some out."
            )
            raise PolicyError([problem])
        self.bits[predicate] = bit
        self.asked.add(bit)
        return bit

    def within(self, name: str) -> "Compilation":
        """The compilation of a policy, or of a part of one.

        Args:
            name: Its name.

        Returns:
            The same compilation, one name further down.
        """
        return replace(self, path=(*self.path, name))

    def part(self, policy: Policy) -> Vote:
        """Compile a sub-policy.

        Args:
            policy: It.

        Returns:
            How it votes.
        """
        return self.types[policy.type].compile(policy.settings, self.within(policy.name))

    def memory(self, settings: Settings, make: Callable[[], State]) -> States[State]:
        """What the policy being compiled has learned so far.

        Args:
            settings: Its parameters; with others it begins anew.
            make: Makes a partition's state to begin with.

        Returns:
            Its states by partition.
        """
        owner = (*self.path, type(settings).__name__, settings.model_dump_json())
        self.owners.add(owner)
        return self.learned.states(owner, make)


@dataclass(frozen=True, slots=True)
class PolicyType:
    """One type of policy.

    Attributes:
        name: What stands under `type:`, and the key of its settings block.
        settings: The model of that block.
        compile: Turns settings into the function that votes on due traces. Receives an
            instance of `settings`.
        drops: Its votes drop traces and come before all others; it stands at the top only.
        parts: The key of its settings under which sub-policies stand; empty for none.
        one_part: Under that key stands one sub-policy, and not a list of them.
        test: For a type that asks about spans and nothing else: what must be true of a span.
        joined: For a type with parts: what must be true of a span where each of the parts asks
            about spans and nothing else; receives the settings and what each part asks.
        reads_tree: It reads the spans of the traces it is asked about, so it is asked last.
        most_text: How many characters its settings may have in a whole set, where reading them
            takes time; 0: any number.
        grounds: Says in a few words what a trace had that was sampled or dropped by it.
    """

    name: str
    settings: type[Settings]
    compile: Callable[[Any, Compilation], Vote]
    drops: bool = False
    parts: str = ""
    one_part: bool = False
    test: Callable[[Any], SpanPredicate] | None = None
    joined: Callable[[Any, tuple[SpanPredicate, ...]], SpanPredicate] | None = None
    reads_tree: bool = False
    grounds: Callable[[Any], str] | None = None
    most_text: int = 0

    @property
    def needs_settings(self) -> bool:
        """Whether a policy of this type must have its settings block."""
        return not self.settings.model_fields.keys() <= {"scope"}

    def parts_of(self, settings: Settings) -> tuple[Policy, ...]:
        """The sub-policies of a policy of this type.

        Args:
            settings: Its settings.

        Returns:
            Those directly below it; none where the type has none.
        """
        return tuple(getattr(settings, self.parts)) if self.parts else ()
