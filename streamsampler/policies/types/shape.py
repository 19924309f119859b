"""`shape`: keeps traces by what their tree of spans is like."""

from collections.abc import Iterator
from typing import Annotated, Final

import numpy as np
from pydantic import BeforeValidator, Field, field_validator, model_validator

from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.schema import Settings
from streamsampler.policies.types.whole_numbers import integral
from streamsampler.policies.votes import Bools, DueTraces, Vote, Votes

_LEAST: Final = {
    "min_orphans": "orphans",
    "min_roots": "roots",
    "min_depth": "depth",
    "min_fan_out": "fan_out",
    "min_repeats": "repeats",
}
"""The column of a trace's shape that each setting is the least of."""

_Least = Annotated[
    Annotated[int, BeforeValidator(integral), Field(ge=1, le=2**31 - 1)] | None,
    Field(description="a whole number, 1 or more"),
]
_YesOrNo = Annotated[bool | None, Field(description="true or false")]


class ServiceShare(Settings):
    """How much of the critical path was spent in one service.

    Attributes:
        service: Its `service.name`; None: any.
        min_share: The smallest share.
    """

    service: str | None = Field(default=None, description="a string")
    min_share: float | None = Field(
        default=None, gt=0, le=1, description="a number above 0, 1 at most"
    )


class ShapeSettings(Settings):
    """What must all be true of the tree; one setting at least.

    Attributes:
        min_orphans: Spans whose parent is not here.
        min_roots: Spans that name no parent.
        missing_root: Whether there is none of these.
        min_depth: Spans on the longest way down, the top included.
        min_fan_out: Children of one span.
        min_repeats: Children of one span with one service and one name, as retries are.
        error_on_critical_path: Whether a span that the root's duration was spent in has an error.
        service_share: How much of the root's duration was spent in one service.
    """

    min_orphans: _Least = None
    min_roots: _Least = None
    missing_root: _YesOrNo = None
    min_depth: _Least = None
    min_fan_out: _Least = None
    min_repeats: _Least = None
    error_on_critical_path: _YesOrNo = None
    service_share: ServiceShare = Field(
        default=ServiceShare(), description="a mapping of service and min_share"
    )

    @field_validator("service_share")
    @classmethod
    def _with_a_share(cls, share: ServiceShare) -> ServiceShare:
        if share.service is not None and share.min_share is None:
            raise ValueError("it names a service and no share; add min_share, such as 0.5")
        return share

    @model_validator(mode="after")
    def _something(self) -> "ShapeSettings":
        if not any(_wanted(self)):
            names = ", ".join(type(self).model_fields)
            raise ValueError(f"it asks for nothing; give at least one of {names}")
        return self

    def remarks(self) -> tuple[str, ...]:
        """What no trace can be."""
        if self.missing_root and self.min_roots:
            return ("keeps no trace, as one without a root does not have min_roots",)
        return ()


def _wanted(settings: ShapeSettings) -> Iterator[str]:
    """What a trace must have, each in a few words."""
    words = {
        "min_orphans": "orphan spans",
        "min_roots": "roots",
        "min_depth": "levels",
        "min_fan_out": "children of one span",
        "min_repeats": "calls alike from one span",
    }
    if settings.missing_root is not None:
        yield "no root" if settings.missing_root else "a root"
    for name, what in words.items():
        least = getattr(settings, name)
        if least is not None:
            yield f"{least} or more {what}"
    if settings.error_on_critical_path is not None:
        yield f"{'an' if settings.error_on_critical_path else 'no'} error on the critical path"
    share = settings.service_share
    if share.min_share is not None:
        service = "one service" if share.service is None else share.service
        yield f"{share.min_share:.0%} or more of its time in {service}"


def _compile(settings: ShapeSettings, _compilation: Compilation) -> Vote:
    least = {column: getattr(settings, name) for name, column in _LEAST.items()}
    share = settings.service_share

    def vote(traces: DueTraces, asked: Bools) -> Votes:
        if not asked.any():
            return Votes(np.zeros(len(traces), np.bool_))
        shapes = traces.shapes(asked)
        sampled = asked.copy()
        for column, number in least.items():
            if number is not None:
                sampled &= shapes.rows[column] >= number
        if settings.missing_root is not None:
            sampled &= shapes.missing_root == settings.missing_root
        if settings.error_on_critical_path is not None:
            sampled &= shapes.rows["critical_error"] == settings.error_on_critical_path
        if share.min_share is not None:
            largest = shapes.rows["largest_share"]
            spent = largest if share.service is None else shapes.share_of(share.service)
            sampled &= spent >= share.min_share
        return Votes(sampled)

    return vote


def _grounds(settings: ShapeSettings) -> str:
    return ", ".join(_wanted(settings))


SHAPE: Final = PolicyType("shape", ShapeSettings, _compile, reads_tree=True, grounds=_grounds)
