"""What a policy set is once it is loaded: names and values, nothing compiled."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from streamsampler.policies.durations import format_ms


class Settings(BaseModel):
    """The settings of one type of policy, under the Collector's names.

    Values are taken strictly, a number in quotes is no number; unknown names are refused. A
    field's description says what is expected there, and errors quote it.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    def remarks(self) -> tuple[str, ...]:
        """What is valid and still worth a warning, each what follows the policy's place."""
        return ()


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy of a set.

    Attributes:
        name: Unique within the set, not empty.
        type: A key of the registry of types.
        settings: The settings model of that type.
        dry_run: Its votes are counted and never acted on.
        priority: A note of the operator's; it changes nothing.
    """

    name: str
    type: str
    settings: Settings
    dry_run: bool = False
    priority: str | None = None

    def document(self) -> dict[str, object]:
        """The policy as plain data, every setting given, as it stands in a set or in a part."""
        own: dict[str, object] = {
            "name": self.name,
            "type": self.type,
            self.type: self.settings.model_dump(mode="json", exclude_none=True),
        }
        if self.dry_run:
            own["dry_run"] = True
        return own if self.priority is None else {**own, "priority": self.priority}

    # A policy within the settings of another has been read already, with its own model.

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: object, _handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.is_instance_schema(
            cls, serialization=core_schema.plain_serializer_function_ser_schema(cls.document)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: core_schema.CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, object]:
        return {"type": "object"}


@dataclass(frozen=True, slots=True)
class TenantSource:
    """Where a span's tenant is read from.

    Attributes:
        key: Attribute key or header name.
        source: Which of the places that have keys; any stands for span and resource alike.
    """

    key: str = "tenant.id"
    source: Literal["any", "resource", "span", "header"] = "any"


@dataclass(frozen=True, slots=True)
class PolicySet:
    """A complete policy set, as the sampler runs it.

    Attributes:
        policies: In configured order.
        decision_wait_ms: Stream time from a trace's first span to its decision.
        completion_grace_ms: Stream time without a new span after which a complete trace is
            decided.
        decision_ttl_ms: Stream time for which a decision is remembered for late spans.
        sample_on_first_match: Stop at the first policy that samples.
        tenant: Where the tenant is read from.
        warnings: Sentences with places: what was accepted and has no or an unlikely meaning.
        version: The first 12 hex digits of the SHA-256 of what the set says. Formatting, the
            order of keys, and warnings do not count; the order of the policies does.
    """

    policies: tuple[Policy, ...]
    decision_wait_ms: int = 30_000
    completion_grace_ms: int = 6_000
    decision_ttl_ms: int = 600_000
    sample_on_first_match: bool = False
    tenant: TenantSource = TenantSource()
    warnings: tuple[str, ...] = ()
    version: str = field(init=False)

    def __post_init__(self) -> None:
        canonical = json.dumps(self.document(), sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        object.__setattr__(self, "version", digest[:12])

    def document(self) -> dict[str, object]:
        """The set as plain data that loads into the same set again.

        Returns:
            The bare block, every setting given, for JSON or YAML.
        """
        return {
            "policies": [policy.document() for policy in self.policies],
            "decision_wait": format_ms(self.decision_wait_ms),
            "completion_grace": format_ms(self.completion_grace_ms),
            "decision_ttl": format_ms(self.decision_ttl_ms),
            "sample_on_first_match": self.sample_on_first_match,
            "tenant": {"key": self.tenant.key, "source": self.tenant.source},
        }
