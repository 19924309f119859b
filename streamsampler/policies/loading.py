"""From text to a policy set: finds the block, checks everything, says all that is wrong at once."""

import re
from collections.abc import Mapping
from typing import Final

from streamsampler.policies.block import INSTEAD, Block
from streamsampler.policies.compiled import compile_policies
from streamsampler.policies.document import Document, Path, read_document, strings_within
from streamsampler.policies.errors import PolicyError
from streamsampler.policies.findings import Findings
from streamsampler.policies.policy_type import PolicyType
from streamsampler.policies.reading import PolicyReader
from streamsampler.policies.schema import PolicySet, TenantSource
from streamsampler.policies.sentences import listed, shown
from streamsampler.policies.tenants import TenantNumbers
from streamsampler.policies.types import TYPES

COMPONENT: Final = "tail_sampling"

_LONGEST_NAME: Final = 60  # characters of a placeholder that a sentence repeats
_PLACEHOLDER = re.compile(r"\$\{[^{}]*\}")


def load_policy_set(text: str, source: str, types: Mapping[str, PolicyType] = TYPES) -> PolicySet:
    """Loads a policy set.

    Args:
        text: YAML or JSON: the bare block of settings, or the block under `tail_sampling`, or a
            Collector's configuration with it under `processors`.
        source: What to call the text in sentences, a file name for example.
        types: The registry of types.

    Returns:
        The set, complete and checked, with warnings.

    Raises:
        PolicyError: With everything that is wrong.
    """
    document = read_document(text, source)
    base, block = _find_block(document)
    findings = Findings(document, base)
    policy_set = _read(block, findings, types)
    if policy_set is None:
        raise PolicyError(findings.told(findings.problems))
    try:
        compile_policies(policy_set, TenantNumbers(), types)
    except PolicyError as error:
        place = document.cite(document.at((*base, "policies"), key=True))
        raise PolicyError(f"{place}: {problem}" for problem in error.problems) from error
    return policy_set


def _find_block(document: Document) -> tuple[Path, dict[str, object]]:
    """The block of settings, and the path to it."""
    path: Path = ()
    value = document.value
    if isinstance(value, dict) and "policies" not in value and "processors" in value:
        path, value = ("processors",), value["processors"]
        if not isinstance(value, dict) or not _components(value):
            place = document.cite(document.at(path))
            raise PolicyError([f"{place}: processors has no {COMPONENT} block; add one there."])
    if isinstance(value, dict) and "policies" not in value and (names := _components(value)):
        if len(names) > 1:
            place = document.cite(document.at(path))
            raise PolicyError([f"{place}: there are several blocks, {listed(names)}; keep one."])
        path, value = (*path, names[0]), value[names[0]]
    if not isinstance(value, dict):
        problem = f"the policy set is {shown(value)}: expected a mapping with a list of policies."
        raise PolicyError([f"{document.cite(document.at(path))}: {problem}"])
    return path, value


def _components(value: Mapping[str, object]) -> list[str]:
    return [key for key in value if key == COMPONENT or key.startswith(f"{COMPONENT}/")]


def _read(
    block: Mapping[str, object], findings: Findings, types: Mapping[str, PolicyType]
) -> PolicySet | None:
    """The set, or None where there are problems."""
    for key in INSTEAD:
        if block.get(key) is not None:
            findings.warn((key,), f"has no meaning here: {INSTEAD[key]}")
    own = {key: value for key, value in block.items() if key not in INSTEAD}
    for path, text in strings_within(own):
        if found := _PLACEHOLDER.search(text):
            name = found[0][:_LONGEST_NAME]
            findings.refuse(
                path, f"holds {name}, which is not expanded here; write the value itself"
            )
    head = findings.check(Block, own, (), also_known=INSTEAD)
    policies = PolicyReader(types, findings).policies(own.get("policies"))
    if findings.problems or head is None:
        return None
    if own.get("completion_grace") and head.completion_grace >= head.decision_wait:
        findings.warn(
            ("completion_grace",),
            "is not shorter than decision_wait, so no trace is decided early",
        )
    return PolicySet(
        policies=policies,
        decision_wait_ms=head.decision_wait,
        completion_grace_ms=head.completion_grace,
        decision_ttl_ms=head.decision_ttl,
        sample_on_first_match=head.sample_on_first_match,
        tenant=TenantSource(head.tenant.key, head.tenant.source),
        warnings=findings.told(findings.warnings),
    )
