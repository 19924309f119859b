"""A first start, when nothing is compiled yet: two processes share the work."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, sys
from pathlib import Path

from streamsampler.policies import load_policy_set
from streamsampler.spans.compiled import is_cold
from streamsampler.spans.stamping_walk import stamp_records
from streamsampler.spans.walk import scan_records
from streamsampler.traces.shapes import draw_shapes
from streamsampler.warmup import compile_kernels

cold = is_cold()
policies = load_policy_set("policies: [{name: all, type: always_sample}]", "here")
compile_kernels(policies, Path(sys.argv[1]))
made = {
    kernel.__name__: kernel.stats.cache_misses.total()
    for kernel in (scan_records, stamp_records, draw_shapes)
}
print(json.dumps([cold, made]))
"""


def start(folder: Path, name: str) -> list[object]:
    """Whether nothing was compiled before, and what this process has compiled itself."""
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder / name)],
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    told: list[object] = json.loads(ran.stdout)
    return told


def test_what_is_called_last_is_compiled_by_another_process(tmp_path: Path) -> None:
    first, second = (start(tmp_path, name) for name in ("first", "second"))
    assert first == [True, {"scan_records": 1, "stamp_records": 0, "draw_shapes": 0}]
    assert second == [False, {"scan_records": 0, "stamp_records": 0, "draw_shapes": 0}]
