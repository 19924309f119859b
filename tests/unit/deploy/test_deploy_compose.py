"""docker-compose.yml is whole: what it refers to is there."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamsampler.config import load_settings
from tests.built_by_go import build
from tests.kafka_cluster import REPOSITORY

COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def mounts() -> list[tuple[str, str, str]]:
    """Service, source and target of all mounts."""
    return [
        (name, *volume.split(":")[:2])
        for name, service in SERVICES.items()
        for volume in service.get("volumes", ())
    ]


def test_all_of_the_picture_is_in_it() -> None:
    wanted = {
        "kafka", "topics", "worker", "thresholds", "rates", "health", "collector-in",
        "collector-out", "jaeger", "prometheus", "grafana", "traffic",
    }  # fmt: skip
    assert SERVICES.keys() == wanted


def test_what_is_mounted_and_waited_for_is_there() -> None:
    for name, source, _ in mounts():
        there = (REPOSITORY / source).exists() if source[0] == "." else source in COMPOSE["volumes"]
        assert there, f"{name}: {source}"
    for name, service in SERVICES.items():
        for other, condition in service.get("depends_on", {}).items():
            assert other in SERVICES, name
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other]


def test_images_have_versions() -> None:
    for name, service in SERVICES.items():
        assert re.fullmatch(r"\S+:v?(\d+\.\d+\.\d+|checkout)", service["image"]), name


def test_no_two_services_want_one_port() -> None:
    ports = [port.split(":")[0] for one in SERVICES.values() for port in one.get("ports", ())]
    assert len(set(ports)) == len(ports)


def test_prometheus_asks_who_answers() -> None:
    settings = load_settings(REPOSITORY / "deploy/compose/streamsampler.yaml")
    document = yaml.safe_load((REPOSITORY / "deploy/compose/prometheus.yaml").read_text())
    workers, health = document["scrape_configs"]
    (found,) = workers["dns_sd_configs"]
    assert found["names"] == ["worker"]
    assert settings.http.address == f"0.0.0.0:{found['port']}"
    (target,) = health["static_configs"][0]["targets"]
    assert target == f"health:{(settings.topology.web_address or '').split(':')[1]}"


def test_grafana_finds_the_dashboards() -> None:
    targets = {target: source for name, source, target in mounts() if name == "grafana"}
    provider = yaml.safe_load(
        (REPOSITORY / "deploy/compose/grafana/dashboards/streamsampler.yaml").read_text()
    )["providers"][0]
    folder = REPOSITORY / targets[provider["options"]["path"]]
    names = {path.name: json.loads(path.read_text())["uid"] for path in folder.glob("*.json")}
    assert names.keys() == {"sampler.json", "golden-traces.json"}
    assert len(set(names.values())) == len(names)


ALONE = "github.com/compose-spec/compose-go/v2/cmd@v2.9.0"
"""What `docker compose` reads its files with, as a program of its own."""


@pytest.fixture(scope="module")
def read() -> Callable[[Path], str]:
    """Reads a file; gives what is said against it."""
    docker = shutil.which("docker")
    if docker is not None and _works([docker, "compose", "version"]):
        before, after = [docker, "compose", "--file"], ["--profile", "traffic", "config", "--quiet"]
    elif alone := build(ALONE, "compose-2.9.0"):
        before, after = [str(alone)], []
    else:
        reason = "`docker compose` is not here, and neither is go to build its reader with"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)

    def said(file: Path) -> str:
        done = subprocess.run(
            [*before, file, *after],
            cwd=REPOSITORY, check=False, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return done.stderr + done.stdout if done.returncode else ""

    return said


def _works(command: list[str]) -> bool:
    return not subprocess.run(command, capture_output=True, check=False, timeout=60).returncode


def test_compose_takes_it(read: Callable[[Path], str]) -> None:
    assert read(REPOSITORY / "docker-compose.yml") == ""


def test_a_slip_in_it_would_be_found(read: Callable[[Path], str], tmp_path: Path) -> None:
    slip = tmp_path / "docker-compose.yml"
    slip.write_text((REPOSITORY / "docker-compose.yml").read_text().replace("ports:", "prots:"))
    assert "prots" in read(slip)
