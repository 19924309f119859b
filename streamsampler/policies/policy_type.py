"""The seam for types of policies: what one type brings along to be registered."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from streamsampler.policies.errors import PolicyError
from streamsampler.policies.predicates import SpanPredicate
from streamsampler.policies.schema import Settings
from streamsampler.policies.tenants import TenantNumbers
from streamsampler.policies.votes import Vote

MAX_PREDICATES: Final = 64
"""A trace's matches are one 64-bit word."""


@dataclass(frozen=True, slots=True)
class Compilation:
    """What a type's compile function may ask for while a set is compiled.

    Attributes:
        tenants: Numbers of tenants.
        bits: The predicates asked for so far, with their bits.
    """

    tenants: TenantNumbers
    bits: dict[SpanPredicate, int] = field(default_factory=dict)

    def bit(self, predicate: SpanPredicate) -> int:
        """The bit of a predicate; equal predicates share one.

        Args:
            predicate: What the scan is to ask of each span.

        Returns:
            0 to 63.

        Raises:
            PolicyError: The set asks for more predicates than there are bits.
        """
        bit = self.bits.setdefault(predicate, len(self.bits))
        if bit >= MAX_PREDICATES:
            problem = (
                f"policies ask more than {MAX_PREDICATES} different questions of each span; "
                "merge those that test the same key, or leave some out."
            )
            raise PolicyError([problem])
        return bit


@dataclass(frozen=True, slots=True)
class PolicyType:
    """One type of policy.

    Attributes:
        name: What stands under `type:`, and the key of its settings block.
        settings: The model of that block.
        compile: Turns settings into the function that votes on due traces. Receives an
            instance of `settings`.
        drops: Its votes drop traces and come before all others.
    """

    name: str
    settings: type[Settings]
    compile: Callable[[Any, Compilation], Vote]
    drops: bool = False

    @property
    def needs_settings(self) -> bool:
        """Whether a policy of this type must have its settings block."""
        return bool(self.settings.model_fields)
