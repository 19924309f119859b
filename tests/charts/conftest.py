"""Runs helm for the tests of the chart."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.helm import CHART, HELM_SECONDS, KUBERNETES, HelmError, Render, find_helm


@pytest.fixture(scope="session")
def helm() -> Callable[..., str]:
    """Runs helm; gives what it wrote."""
    program = find_helm()
    if program is None:
        reason = "helm is not here, and neither is go to build it with"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            [program, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=HELM_SECONDS,
            check=False,
        )
        if done.returncode:
            raise HelmError(done.stderr + done.stdout)
        return done.stdout

    return run


@pytest.fixture(scope="session")
def render(helm: Callable[..., str]) -> Render:
    """Renders the chart with a file of values and settings over it, which may be JSON."""

    def rendered(values: str, *settings: str) -> list[dict[str, Any]]:
        flags = [
            part
            for one in settings
            for part in ("--set-json" if one.partition("=")[2][:1] in "[{" else "--set", one)
        ]
        text = helm(
            "template", "here", CHART, "--namespace", "tracing", "--kube-version", KUBERNETES,
            "--values", CHART / "ci" / f"{values}.yaml", *flags,
        )  # fmt: skip
        return [one for one in yaml.safe_load_all(text) if one]

    return rendered
