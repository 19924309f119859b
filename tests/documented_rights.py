"""The rights of each role, read from docs/security.md."""

import re

from tests.kafka_cluster import REPOSITORY
from tests.secure_kafka import Right

ROW = re.compile(r"\| (\w[\w ]*) \| (topic|group|transactional id) \| `([^`]+)` \| ([\w, ]+) \|")


def documented(role: str, group: str) -> list[Right]:
    """The rights of a role as docs/security.md has them."""
    rows = ROW.findall((REPOSITORY / "docs" / "security.md").read_text())
    return [
        Right(
            kind,
            re.sub(r"^sampler", group, name.removesuffix("*")),
            name.endswith("*"),
            tuple(operations.split(", ")),
        )
        for of, kind, name, operations in rows
        if of == role
    ]
