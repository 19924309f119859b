"""docs/upgrading.md names the formats that the code writes."""

from streamsampler import outcome
from streamsampler.estimates import summaries, tables
from streamsampler.kafka.offsets import to_commit
from streamsampler.sampler import Checkpoint
from streamsampler.store import blocks
from tests.kafka_cluster import REPOSITORY

PAGE = (REPOSITORY / "docs" / "upgrading.md").read_text()


def test_formats_are_those_of_the_code() -> None:
    assert f"`streamsampler.decisions`, version {outcome._DECISION_VERSION} |" in PAGE
    assert f"| RocksDB, version {blocks._VERSION} |" in PAGE
    assert summaries.FORMAT == tables.FORMAT
    assert f"`streamsampler.tables`, format {tables.FORMAT} |" in PAGE
    metadata = to_commit("t", 0, Checkpoint(1, 2, 3)).metadata
    assert metadata is not None
    assert f"offsets, `{metadata.split()[0]}` |" in PAGE
