"""After the warm-up nothing is compiled any more: a member of the group must not pause."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from streamsampler import warmup
from streamsampler.policies import load_policy_set
from streamsampler.spans.stamping_walk import stamp_records
from streamsampler.warmup import compile_kernels

SCRIPT = '''
import importlib, pkgutil, sys, tempfile
from pathlib import Path

import streamsampler
from numba.core.registry import CPUDispatcher
from streamsampler.policies import load_policy_set
from streamsampler.sampler import PastDecision, Sampler
from streamsampler.store import BlockStore
from streamsampler.warmup import compile_kernels, compile_late_kernels
from tests.real_records import POLICIES, batch_of, real_records


# Called by other kernels alone, and compiled with these.
INSIDE = {
    "skip_group", "sort_by_end", "walk_path", "most_alike", "sign", "tie_to_parents",
    "open_loops", "put_in_order", "restate",
}
OTHER = """
policies:
  - {name: shapes, type: shape, shape: {min_depth: 3}}
  - {name: rare, type: rare, rare: {interval: 1s}}
  - {name: limited, type: rate_limiting, rate_limiting: {spans_per_second: 100}}
  - {name: flagged, type: trace_flags}
"""


def signatures():
    found = {}
    for module in pkgutil.walk_packages(streamsampler.__path__, "streamsampler."):
        if module.name.split(".")[1] in ("spans", "store", "traces", "policies"):
            for name, value in vars(importlib.import_module(module.name)).items():
                entered = not name.startswith("_")  # others are called by kernels alone
                if not isinstance(value, CPUDispatcher) or not entered:
                    continue
                if value.targetoptions.get("inline") != "always":
                    found[name] = len(value.signatures)
    return found


policies = load_policy_set(POLICIES.read_text(), "policies.yaml")
with tempfile.TemporaryDirectory() as folder:
    compile_kernels(policies, Path(folder) / "warm-up")
    warm = signatures()
    compile_late_kernels()
    assert signatures() == warm, "they are called with other types"
    with BlockStore(Path(folder) / "blocks") as store:
        sampler = Sampler(policies, store)
        past = [PastDecision(bytes(range(16)), "sampled", None, 5, b"one span")]
        for partition in range(12):
            sampler.assign(partition, None, past)
        records = sorted(real_records(), key=lambda one: one.partition)
        sampler.submit(batch_of(records))
        resumed = {partition: sampler.checkpoint(partition) for partition in range(12)}
        for partition, checkpoint in resumed.items():
            sampler.committed(partition, checkpoint)
            sampler.revoke(partition, keep=True)
            assert sampler.assign(partition, checkpoint, past) == checkpoint.position
            sampler.recall(partition, past)
        sampler.use(load_policy_set(OTHER, "another set"))
        while sampler.replacing:
            sampler.go_on()
        sampler.finish()
assert {name for name, made in warm.items() if not made} <= INSIDE, warm
assert signatures() == warm, (warm, signatures())
print(len(warm), "kernels")
'''


def test_the_warm_up_compiles_every_kernel_for_the_types_of_real_traffic() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=200
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.endswith("kernels\n")


POLICIES = "policies: [{name: all, type: always_sample}]"


def other_program(path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """Let a shell script be the other process, as if nothing were compiled."""
    program = path / "program"
    program.write_text(f"#!/bin/sh\n{line}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(warmup, "is_cold", lambda: True)


def test_where_the_other_process_fails_the_kernels_are_compiled_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_program(tmp_path, monkeypatch, "touch $0.ran; exit 1")
    compile_kernels(load_policy_set(POLICIES, "here"), tmp_path / "blocks")
    assert (tmp_path / "program.ran").exists()
    made: Any = stamp_records  # a dispatcher, which its type does not tell
    assert made.signatures


def test_the_other_process_does_not_outlive_a_start_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_program(tmp_path, monkeypatch, "echo $$ > $0.pid; exec sleep 60")
    started = tmp_path / "program.pid"

    class NoSamplerError(Exception):
        """Raised once the other process runs."""

    def fail(*_: object) -> None:
        deadline = time.monotonic() + 60
        while not (started.exists() and started.read_text()):
            assert time.monotonic() < deadline, "the other process has not begun"
            time.sleep(0.01)
        raise NoSamplerError

    monkeypatch.setattr(warmup, "Sampler", fail)
    with pytest.raises(NoSamplerError):
        compile_kernels(load_policy_set(POLICIES, "here"), tmp_path / "blocks")
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)
