"""How a kernel is compiled: one place for the flags, so that no kernel has others by accident.

Numba counts references to arrays that helpers pass around, with an atomic instruction each time:
the scan took 7 us a span with it and 0.4 without. So kernels are compiled without the runtime
that counts (``_nrt=False``). It follows that a kernel allocates nothing: room for its results and
its scratch are arguments, and a kernel that forgets this does not compile.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

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
