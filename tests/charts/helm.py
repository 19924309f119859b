"""Helm: the one on the machine, or built once from its Go module; and the chart."""

import os
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

from tests.kafka_cluster import REPOSITORY

CHART = REPOSITORY / "charts" / "streamsampler"
BUILT = REPOSITORY / ".cache" / "bin"
MODULE = "helm.sh/helm/v3/cmd/helm@v3.22.0"
BUILD_SECONDS = 600
HELM_SECONDS = 60
KUBERNETES = "1.34.0"

Render = Callable[..., list[dict[str, Any]]]


class HelmError(Exception):
    """What helm wrote when it refused."""


def find_helm() -> str | None:
    """Where helm is; None where it neither is nor can be built."""
    found = shutil.which("helm", path=os.pathsep.join([os.environ["PATH"], str(BUILT)]))
    if found or shutil.which("go") is None:
        return found
    BUILT.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["go", "install", MODULE],
        env={**os.environ, "GOBIN": str(BUILT)},
        timeout=BUILD_SECONDS,
        check=True,
    )
    return str(BUILT / "helm")
