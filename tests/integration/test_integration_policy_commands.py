"""The policy commands on a real Kafka: what stands on the topic, and who runs it."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streamsampler.cli import main
from streamsampler.config import Settings
from streamsampler.kafka.policy_topic import delete_policy_set, publish_policy_set
from streamsampler.kafka.status import READY, read_status
from streamsampler.kafka.worker_status import WorkerStatus, pack_status, status_key
from streamsampler.policies import load_policy_set
from tests.integration.sampling import RunningWorker, Written, make_topics, write

ALL = "# all of them\npolicies: [{name: all, type: always_sample}]"
SLOW = "policies: [{name: slow, type: latency, latency: {threshold_ms: 5}}]"
BAD = "policies: [{name: slow, type: latency, latency: {threshold_ms: soon}}]"
VERSION = load_policy_set(ALL, "all").version

Command = Callable[..., Result]


@pytest.fixture
def policy(settings: Settings, config: Path) -> Command:
    make_topics(settings, 2)

    def run(*words: str | Path) -> Result:
        return CliRunner().invoke(main, ["policy", *map(str, words), "--config", str(config)])

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "policies.yaml"
    written.write_text(ALL)
    return written


def test_what_was_applied_is_got_as_it_was_written(
    policy: Command, file: Path, settings: Settings
) -> None:
    applied = policy("apply", file)
    assert applied.exit_code == 0, applied.stderr
    assert "+  - name: all" in applied.stdout
    assert f"version {VERSION}, 1 policy is in force" in applied.stdout
    assert f"No worker says on {settings.topics.status} that it runs" in applied.stdout
    got = policy("get")
    assert (got.exit_code, got.stdout, got.stderr) == (0, f"{ALL}\n", "")


def test_a_difference_is_shown_and_is_the_exit_code(
    policy: Command, file: Path, settings: Settings
) -> None:
    assert policy("diff", file).exit_code == 1
    publish_policy_set(settings, SLOW, "slow")
    changed = policy("diff", file)
    assert changed.exit_code == 1
    assert changed.stdout.startswith(f"--- {settings.topics.policies} offset 0\n+++ {file}\n")
    assert "-  - name: slow" in changed.stdout
    publish_policy_set(settings, ALL, "all")
    assert policy("diff", file).exit_code == 0


def test_the_history_lists_what_the_topic_has_and_a_bad_set_is_not_in_force(
    policy: Command, settings: Settings
) -> None:
    publish_policy_set(settings, ALL, "all")
    write(settings, settings.topics.policies, [Written(BAD.encode(), b"default")])
    _, good, bad = policy("history").stdout.splitlines()
    assert good.startswith("0 ")
    assert f"{VERSION} valid, 1 policy, in force" in good
    assert bad.startswith("1 ")
    assert "refused: " in bad
    got = policy("get")
    assert got.stdout == f"{ALL}\n"
    assert "offset 1: refused" in got.stderr


def test_a_tenant_s_set_stands_by_itself(policy: Command, file: Path, settings: Settings) -> None:
    publish_policy_set(settings, SLOW, "slow")
    assert "in force for acme" in policy("apply", file, "--name", "acme").stdout
    assert policy("get", "--name", "acme").stdout == f"{ALL}\n"
    assert policy("get").stdout == f"{SLOW}\n"
    delete_policy_set(settings, "acme")
    gone = policy("get", "--name", "acme")
    assert gone.exit_code == 1
    assert "has no valid set called acme" in gone.stderr


def ready(settings: Settings) -> bool:
    """Whether a worker says so; while it compiles its kernels, it says nothing for a while."""
    return any(status.state == READY for status in read_status(settings, 10.0).values())


def test_applying_waits_until_the_worker_runs_it(
    policy: Command, file: Path, settings: Settings
) -> None:
    publish_policy_set(settings, SLOW, "slow")
    with RunningWorker(settings) as worker:
        worker.wait_until(lambda: ready(settings), "the worker to say that it is ready")
        applied = policy("apply", file)
        assert applied.exit_code == 0, applied.stderr
        assert "1 of 1 worker runs it" in applied.stdout
        (status,) = read_status(settings, 10.0).values()
        assert status.policy_versions == {"default": VERSION}


def test_a_worker_that_does_not_follow_is_named(
    policy: Command, file: Path, settings: Settings
) -> None:
    group, now_ms = settings.group_id, time.time_ns() // 1_000_000
    stuck = WorkerStatus(group, "stuck", now_ms, now_ms, policy_versions={"default": "old"})
    long_gone = WorkerStatus(group, "gone", 0, 0)
    words = [
        Written(pack_status(status), status_key(group, status.worker))
        for status in (stuck, long_gone)
    ]
    write(settings, settings.topics.status, words)
    applied = policy("apply", file, "--timeout", "0")
    assert applied.exit_code == 1
    assert applied.stderr == f"Error: worker stuck runs version old, and not {VERSION}.\n"
    assert "0 of 1 worker runs it" in applied.stdout
