"""A policy set as YAML text: what is written for people, and reads back as it was."""

import yaml

from streamsampler.policies.document import read_document
from streamsampler.policies.errors import PolicyError

_STR_TAG = "tag:yaml.org,2002:str"


class _Dumper(yaml.SafeDumper):
    """Blocks indented below their key; strings in quotes where our reader wants them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - the library's signature
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the library's signature
        return True  # parts that stand in two places are written out in both


def _represent(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # The library quotes what YAML 1.1 takes for another thing; our reader is of YAML 1.2.
    return dumper.represent_scalar(_STR_TAG, text, style=None if _reads_as_itself(text) else '"')


def _reads_as_itself(text: str) -> bool:
    try:
        return read_document(text, "").value == text
    except PolicyError:
        return False


_Dumper.add_representer(str, _represent)


def to_yaml(document: object) -> str:
    """Writes plain data as YAML.

    Args:
        document: Such as `PolicySet.document()` gives.

    Returns:
        The text, keys in the order in which they stand; `read_document` gives the same data.
    """
    return yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf")
    )
