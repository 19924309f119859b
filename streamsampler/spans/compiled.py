"""How a kernel is compiled: one place for the flags, so that no kernel has others by accident.

Numba counts references to arrays that helpers pass around, with an atomic instruction each time:
the scan took 7 us a span with it and 0.4 without. So kernels are compiled without the runtime
that counts (``_nrt=False``). It follows that a kernel allocates nothing: room for its results and
its scratch are arguments, and a kernel that forgets this does not compile.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

_PACKAGE: Final = Path(__file__).parent.parent
_config: Any = numba.config  # its stubs do not know the settings
_ROOMS: Final = ("spans", "store", "traces")  # whose kernels take functions of other files in


def _cache_folder() -> Path:
    """Where the machine code goes: a folder for these very sources.

    Numba looks at the time of a kernel's own file alone, so a kernel would go on with an older
    version of a function that it takes in from elsewhere.
    """
    sources = hashlib.sha256()
    for room in _ROOMS:
        for source in sorted((_PACKAGE / room).glob("*.py")):
            sources.update(source.read_bytes())
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    base = _config.CACHE_DIR or Path(home) / "streamsampler"
    return Path(base) / sources.hexdigest()[:16]


_config.CACHE_DIR = str(_cache_folder())


def is_cold() -> bool:
    """Tell whether no kernel of these very sources has been compiled here before."""
    return next(Path(_config.CACHE_DIR).rglob("*.nbi"), None) is None


_njit: Any = numba.njit  # its stubs do not know _nrt
_FLAGS: Final = {"error_model": "numpy", "_nrt": False}


def kernel(function: Function) -> Function:
    """Compile a function with Numba on its first call and keep the machine code on disk.

    Strict IEEE arithmetic, no bounds checks unless ``NUMBA_BOUNDSCHECK=1``, no allocation. With
    ``NUMBA_DISABLE_JIT=1`` the function stays plain Python.

    Args:
        function: Takes arrays and numbers; each integer it mixes with a ``uint64`` is a
            ``uint64`` itself, as a signed literal would make the result a float.

    Returns:
        The compiled function, which is called as the plain one is.
    """
    return cast("Function", _njit(cache=True, **_FLAGS)(function))


def inlined(function: Function) -> Function:
    """Compile a function into each kernel that calls it, for steps taken once a field or a span.

    Args:
        function: As for `kernel`.

    Returns:
        The function, which kernels and plain Python call alike.
    """
    return cast("Function", _njit(inline="always", **_FLAGS)(function))
