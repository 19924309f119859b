"""`streamsampler warm-up`: the kernels compiled before anybody waits for them."""

import tempfile
import time
from pathlib import Path

import click

from streamsampler.policies import load_policy_set
from streamsampler.warmup import compile_kernels

_ANY = "policies: [{name: all, type: always_sample}]"


@click.command(name="warm-up")
def warm_up() -> None:
    """Compile the kernels into NUMBA_CACHE_DIR, or read them from there.

    They are the same for all policies. NUMBA_CPU_NAME=generic makes them for any CPU of the
    architecture; it must then be set where they are used, too.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="streamsampler-") as folder:
        compile_kernels(load_policy_set(_ANY, "warm-up"), Path(folder) / "blocks")
    click.echo(f"Kernels are ready after {time.monotonic() - began:.1f} s.")
