"""The kernels in three forms: compiled, compiled with bounds checks, and as plain Python.

One stream of hostile records goes through scan, fold and verdicts in a process of each form; all
have to say the same. The process is this file.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from streamsampler.policies import load_policy_set
from streamsampler.sampler import Limits, Outcome, Sampler
from streamsampler.spans.columns import SPAN, Rows
from streamsampler.spans.records import Headers, join
from streamsampler.spans.scan import Scanner
from streamsampler.store import BlockStore
from streamsampler.store.filling import copy_records
from tests import otlp_records
from tests.otlp_records import Tape

REPOSITORY = Path(__file__).resolve().parents[2]
RECORDS, BATCH = 300, 25
POLICIES = """
decision_wait: 2s
completion_grace: 300ms
decision_ttl: 20s
policies:
  - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
  - {name: gold, type: string_attribute, string_attribute: {key: k, values: [gold, a]}}
  - {name: rate, type: tenant, tenant: {tenants: {gold: always, a: 50}, other: 10}}
"""


def _records() -> list[bytes]:
    """A hostile record to each sound one; every few records their traces are others."""
    chance = random.Random(20)
    hostile, sound = otlp_records._HOSTILE, otlp_records._valid
    made = []
    for number in range(RECORDS):
        tape = Tape(chance.randbytes(400))
        value = sound(tape) if number % 2 else tape.pick(hostile)(tape)
        for trace in otlp_records.TRACE_IDS:
            value = value.replace(trace, trace[:8] + (1 + number // 8).to_bytes(8))
        made.append(value)
    return made


def _scanned(values: list[bytes]) -> list[object]:
    """Every column of every span, and every record's fault."""
    n = len(values)
    batch = join([0] * n, range(n), [-1] * n, [None] * n, values, [None] * n)
    scan = Scanner((b"k", b"tenant.id", b"")).scan(batch.buffer, batch.bounds)
    return [
        [scan.spans[name].tolist() for name in SPAN.names or ()],
        _found(scan.attributes),
        _found(scan.resources),
        [scan.records[name].tolist() for name in ("fault", "fault_at", "spans", "mixed")],
    ]


def _found(attributes: Rows) -> list[object]:
    """What is known of each attribute; of an absent one nothing else is written."""
    return [row.tolist() if row["kind"] else None for row in attributes.ravel()]


def _told(outcome: Outcome) -> list[object]:
    return [
        [one.line() for one in outcome.decisions],
        [[one.trace_id.hex(), one.value.hex(), one.spans, one.late] for one in outcome.emissions],
        [[one.record, one.reason, one.detail] for one in outcome.dead_letters],
    ]


def _sampled(values: list[bytes], folder: Path) -> list[object]:
    """Everything that the engine says, decision by decision, and its counts."""
    chance = random.Random(7)
    told: list[object] = []
    with BlockStore(folder / "blocks") as store:
        limits = Limits(spans_per_trace=5, block_bytes=2000, max_record_bytes=1000, decisions=3)
        sampler = Sampler(load_policy_set(POLICIES, "table"), store, limits)
        sampler.assign(0)
        now = 1000
        for first in range(0, len(values), BATCH):
            some = values[first : first + BATCH]
            times = []
            for _ in some:
                now += chance.choice([0, 10, 100, 700])
                times.append(now)
            keys = [chance.choice([None, b"01" * 16, b"x"]) for _ in some]
            pairs: list[Headers | None] = [chance.choice([None, [("h", b"v")]]) for _ in some]
            offsets = range(first, first + len(some))
            told += _told(sampler.submit(join([0] * len(some), offsets, times, keys, some, pairs)))
            sampler.committed(0, sampler.checkpoint(0))
        told += _told(sampler.finish())
        told.append(repr(sampler.counts(0)))
        assert sampler.counts(0).conserved()
    return told


def say() -> list[object]:
    values = _records()
    with tempfile.TemporaryDirectory() as folder:
        return [_scanned(values), _sampled(values, Path(folder))]


def said(**environment: str) -> list[object]:
    """What another process says, in this environment."""
    done = subprocess.run(
        [sys.executable, __file__],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: list[object] = json.loads(done.stdout)
    return told


@pytest.fixture(scope="module")
def compiled() -> list[object]:
    told: list[object] = json.loads(json.dumps(say()))
    return told


def test_the_stream_has_something_of_everything(compiled: list[object]) -> None:
    text = json.dumps(compiled)
    for word in ("sampled", "not_sampled", "limit", "timeout", "complete", "shutdown"):
        assert f'"{word}"' in text
    for word in ("truncated", "bad_tag", "bad_length", "bad_trace_id", "bad_link_id", "too_deep"):
        assert f'"{word}"' in text


def test_plain_python_says_the_same(compiled: list[object]) -> None:
    assert said(NUMBA_DISABLE_JIT="1") == compiled


def test_with_bounds_checks_the_same_is_said(compiled: list[object]) -> None:
    # A cache of its own, as what is cached does not know whether its bounds are checked. It stays
    # from run to run: compiling all kernels takes a quarter of a minute.
    cache = Path(os.environ["NUMBA_CACHE_DIR"]) / "bounds"
    assert said(NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(cache)) == compiled


def _assert_bounds_are_checked() -> None:
    """See to it that a kernel that reads behind an array's end says so."""
    one, far = np.zeros(1, np.int64), np.array([0, 9], np.int64)
    with pytest.raises(IndexError):
        copy_records(np.zeros(1, np.uint8), far, one, np.zeros(9, np.uint8), one)


if __name__ == "__main__":
    if os.environ.get("NUMBA_BOUNDSCHECK") == "1":
        _assert_bounds_are_checked()
    json.dump(say(), sys.stdout)
