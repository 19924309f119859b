"""Helm: the one on the machine, or built once from its Go module; and the chart."""

import shutil
from collections.abc import Callable
from typing import Any

from tests.built_by_go import build
from tests.kafka_cluster import REPOSITORY

CHART = REPOSITORY / "charts" / "streamsampler"
MODULE = "helm.sh/helm/v3/cmd/helm@v3.22.0"
HELM_SECONDS = 60
KUBERNETES = "1.34.0"

Render = Callable[..., list[dict[str, Any]]]


class HelmError(Exception):
    """What helm wrote when it refused."""


def find_helm() -> str | None:
    """Where helm is; None where it neither is nor can be built."""
    found = shutil.which("helm") or build(MODULE, "helm-3.22.0")
    return str(found) if found else None
