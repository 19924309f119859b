"""What all tests share: a warm cache for the kernels, hypothesis' profile, a real Kafka."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from tests.kafka_cluster import KafkaCluster, KafkaMissingError, bootstrap_from_environment

REPOSITORY = Path(__file__).resolve().parent.parent


# Before anything imports Numba, and for the processes that tests start. (Below it, each state of
# the kernels' sources has a folder of its own.)
os.environ.setdefault("NUMBA_CACHE_DIR", str(REPOSITORY / ".cache" / "numba"))

# A kernel's first call compiles it; that is no slow example.
settings.register_profile("streamsampler", deadline=None)
settings.load_profile("streamsampler")


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Undo what a command that a test ran here set up for the whole process."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """`bootstrap.servers` of a real Apache Kafka.

    A skip because none can be had is a failure where `CI=true`, as nobody would see it there.
    """
    running = bootstrap_from_environment()
    if running is not None:
        yield running
        return
    try:
        with KafkaCluster() as cluster:
            yield cluster.bootstrap
    except KafkaMissingError as missing:
        reason = f"no Apache Kafka for this test: {missing}; or set STREAMSAMPLER_TEST_BOOTSTRAP"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture
def prefix() -> str:
    """A start for the names of topics and groups that no other test has."""
    return f"t{uuid.uuid4().hex[:8]}."
