"""The Collector's `tail_sampling` block as a policy set.

The block is taken as it stands. Options whose work is done otherwise here are left out with a note;
what cannot be read is left out, too, and that is a loss.
"""

import json
from collections.abc import Mapping
from typing import Final

from streamsampler.policies.block import INSTEAD
from streamsampler.policies.document import Document, Path
from streamsampler.policies.errors import PolicyError
from streamsampler.policies.importing import Imported, Remarks
from streamsampler.policies.loading import COMPONENT, load_policy_set
from streamsampler.policies.policy_type import PolicyType
from streamsampler.policies.sentences import listed, shown
from streamsampler.policies.types import TYPES

_HOLDS: Final = {"policies": [{"name": "all", "type": "always_sample"}]}
_FIRST: Final = "policies[0]"
_SOURCE: Final = "block"
_LIMITS: Final = ("rate_limiting", "bytes_limiting")


def import_otel(
    document: Document,
    processor: str | None = None,
    types: Mapping[str, PolicyType] = TYPES,
) -> Imported:
    """Writes a Collector's tail sampling as a policy set.

    Args:
        document: The Collector's configuration, or a part of it that holds the block, read.
        processor: The name of the block, such as `tail_sampling/errors`; None: the only one.
        types: The registry of types.

    Returns:
        The set, and what is to be said of it.

    Raises:
        PolicyError: There is no block, or there are several and none was named.
    """
    path, block = _block(document, processor)
    remarks = Remarks(document)
    imported: dict[str, object] = {}
    for key, value in block.items():
        where = (*path, key)
        if value is None:
            continue
        if key in INSTEAD:
            remarks.note(where, f"was left out, as its work is done otherwise here: {INSTEAD[key]}")
        elif key == "policies":
            imported[key] = list(_policies(value, where, remarks, types))
        elif problems := _problems({**_HOLDS, key: value}, types):
            for problem in problems:
                remarks.lost(where, f"was left out: {problem}")
        else:
            imported[key] = value
    if not imported.get("policies"):
        place = document.cite(document.at((*path, "policies"), key=True))
        said = [remark.sentence for remark in remarks.ordered()]
        raise PolicyError([*said, f"{place}: there is no policy here that can be imported."])
    return Imported(imported, remarks.ordered())


def _block(document: Document, processor: str | None) -> tuple[Path, Mapping[str, object]]:
    path: Path = ()
    value = document.value
    if isinstance(value, dict) and "policies" not in value and "processors" in value:
        path, value = ("processors",), value["processors"]
    if isinstance(value, dict) and "policies" not in value:
        names = [key for key in value if key.split("/", maxsplit=1)[0] == COMPONENT]
        name = names[0] if processor is None and len(names) == 1 else processor
        if name not in names:
            raise PolicyError([_no_block(document, path, processor, names)])
        assert name is not None
        path, value = (*path, name), value[name]
    if not isinstance(value, dict):
        place = document.cite(document.at(path, key=True))
        raise PolicyError([f"{place}: there is no {COMPONENT} block here; add one."])
    return path, value


def _no_block(document: Document, path: Path, processor: str | None, names: list[str]) -> str:
    place = document.cite(document.at(path, key=True))
    if not names:
        return f"{place}: there is no {COMPONENT} block here; add one."
    if processor is None:
        return f"{place}: there are several blocks, {listed(names)}; name one by --processor."
    return f"{place}: there is no block {shown(processor)}; there is {listed(names)}."


def _policies(
    value: object, path: Path, remarks: Remarks, types: Mapping[str, PolicyType]
) -> list[dict[str, object]]:
    kept = []
    for i, policy in enumerate(value if isinstance(value, list) else ()):
        where = (*path, i)
        problems = _problems({"policies": [policy]}, types)
        if problems:
            name = policy.get("name") if isinstance(policy, dict) else None
            for problem in problems:
                remarks.lost(where, f"({shown(name)}) was left out: {problem}")
            continue
        assert isinstance(policy, dict)
        kept.append(_as_there(policy, where, remarks))
    return kept


def _problems(block: Mapping[str, object], types: Mapping[str, PolicyType]) -> list[str]:
    """What is wrong with a part of a block."""
    try:
        load_policy_set(json.dumps(block, indent=0), _SOURCE, types)
    except PolicyError as error:
        return [_bare(problem) for problem in error.problems]
    return []


def _bare(problem: str) -> str:
    """A sentence without the place, which is one in the part alone, and the full stop."""
    sentence = problem.split(": ", maxsplit=1)[1].rstrip(".")
    return sentence.removeprefix(_FIRST).lstrip(". ")


def _as_there(policy: dict[str, object], path: Path, remarks: Remarks) -> dict[str, object]:
    """A policy that decides as it does in the Collector, where ours would not."""
    kind = policy.get("type")
    settings = policy.get(str(kind))
    own = settings if isinstance(settings, dict) else {}
    if kind in _LIMITS:
        remarks.note(path, "is the limit of each instance in the Collector; here the group's")
    if kind == "latency" and own.get("upper_threshold_ms"):
        remarks.note(
            path,
            "asks here whether the whole trace is within both bounds; in the Collector it depends "
            "on the order of the spans",
        )
    if kind == "composite":
        remarks.note(path, "is the limit of each instance in the Collector; here the group's")
        return {**policy, "composite": {**own, "overflow": "stop"}}
    return dict(policy)
