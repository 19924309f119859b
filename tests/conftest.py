"""What all tests share: a warm cache for the kernels, hypothesis' profile, a real Kafka."""

import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.kafka_cluster import KafkaCluster, KafkaMissingError, bootstrap_from_environment

REPOSITORY = Path(__file__).resolve().parent.parent


def _kernel_sources() -> list[Path]:
    """Every module of a folder that holds kernels: they take each other's constants."""
    modules = list((REPOSITORY / "streamsampler").rglob("*.py"))
    folders = {module.parent for module in modules if "spans.compiled" in module.read_text()}
    return sorted(module for module in modules if module.parent in folders)


def _numba_cache() -> Path:
    # Numba renews a kernel when the kernel's own module changes, not when one that it calls does.
    digest = hashlib.sha256()
    for module in _kernel_sources():
        digest.update(module.read_bytes())
    return REPOSITORY / ".cache" / "numba" / digest.hexdigest()[:16]


# Before anything imports Numba, and for the processes that tests start.
os.environ.setdefault("NUMBA_CACHE_DIR", str(_numba_cache()))

# A kernel's first call compiles it; that is no slow example.
settings.register_profile("streamsampler", deadline=None)
settings.load_profile("streamsampler")


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
