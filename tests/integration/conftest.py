"""Settings of a test's own, on a real Kafka."""

from pathlib import Path

import pytest

from streamsampler.config import Settings
from tests.integration.sampling import make_settings


@pytest.fixture
def settings(kafka: str, prefix: str, tmp_path: Path) -> Settings:
    """Topics are named, not made."""
    return make_settings(kafka, prefix, tmp_path)


@pytest.fixture
def config(settings: Settings, tmp_path: Path) -> Path:
    """The same settings as a file, for commands."""
    file = tmp_path / "streamsampler.yaml"
    file.write_text(settings.model_dump_json())
    return file
