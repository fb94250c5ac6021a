"""Compiled Python for the loops that NumPy has no word for.

Why numba: it compiles such a loop to the machine's own vector instructions, from a wheel, so that neither
an install nor a server image needs a compiler. What it costs is the first call, which compiles; the result
is cached in ``NUMBA_CACHE_DIR`` or, without that, beside the file, so that the next process only loads it.
A cache is renewed when the function's own file changes: what one compiled function calls in another file is
not looked at, so clear the cache after a change there.

A module that uses `jit` cannot be imported without numba, and is therefore imported where it is first needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from boxmask_core.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable

try:
    import numba
except ModuleNotFoundError as error:
    raise MissingExtraError("the DenseCRF or GrabCut of boxmask", "numba", "local") from error

F = TypeVar("F", bound="Callable[..., Any]")


def jit(function: F) -> F:
    """Compiles a function at its first call, for the types that it is called with.

    Compiled code runs without the interpreter's lock, so that threads work side by side, and divides as
    NumPy does: by zero without an exception. Floating-point operations keep their order, so that the same
    input gives the same bits.

    Args:
        function: Its arguments are numbers, arrays and tuples of them.

    Returns:
        The compiled function, of the same signature.
    """
    njit: Any = numba.njit  # its type says less than this function's
    try:
        compiled: F = njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # there is nowhere to write to: compile in every process
        compiled = njit(nogil=True, error_model="numpy")(function)
    return compiled
