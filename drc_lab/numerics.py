"""Compiled loops: one numba decorator for the whole project, and a tanh that vectorises."""

import hashlib
import os
from contextlib import ExitStack
from pathlib import Path

import numba
import numpy as np
from numba.core import event

from drc_lab.progress import working

# Numba's disk cache knows only the file a function stands in, and would go on with old code of what it calls in
# others: the cache's place changes with any file that has compiled code in it.
_PACKAGE = Path(__file__).parent
_SOURCES = [Path(__file__), _PACKAGE / "models" / "gates.py", *sorted((_PACKAGE / "envs").rglob("*.py"))]
_DIGEST = hashlib.sha256(b"".join(path.read_bytes() for path in _SOURCES)).hexdigest()[:12]
if os.access(_PACKAGE, os.W_OK) and not os.environ.get("NUMBA_CACHE_DIR"):
    cache = _PACKAGE / "__pycache__" / f"numba-{_DIGEST}"
    numba.config.CACHE_DIR = str(cache)  # type: ignore[attr-defined]

# Division by zero must not raise, or no loop with a division is vectorised. Reassociation and contraction are
# allowed; "no NaNs" and "no infinities" are not, because a NaN has to come through to the guard that reports it.
jit = numba.njit(error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"}, cache=True, nogil=True)


class _Compiling(event.Listener):
    """Tells of compilation: what is not in the cache yet takes seconds."""

    def __init__(self) -> None:
        self.shown, self.depth = ExitStack(), 0

    def on_start(self, event: event.Event) -> None:
        if not self.depth:  # else what calls it is being compiled
            name = event.data["dispatcher"].py_func.__name__
            self.shown.enter_context(working(f"compiling {name}, for the first use"))
        self.depth += 1

    def on_end(self, event: event.Event) -> None:
        self.depth -= 1
        if not self.depth:
            self.shown.close()


event.register("numba:compile", _Compiling())

_P = tuple(np.float32(x) for x in (-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11,
                                   5.12229709037114e-08, 1.48572235717979e-05, 6.37261928875436e-04,
                                   4.89352455891786e-03))  # fmt: skip
_Q = tuple(np.float32(x) for x in (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03,
                                   4.89352518554385e-03))  # fmt: skip
_LIMIT = np.float32(7.90531110763549805)


@numba.njit(inline="always", error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})
def tanh(x):
    """float32 tanh as the ratio of two polynomials (the coefficients Eigen uses), within 3e-7 of the exact value."""
    x = _LIMIT if x > _LIMIT else x
    x = -_LIMIT if x < -_LIMIT else x
    y = x * x
    p = _P[0]
    p = p * y + _P[1]
    p = p * y + _P[2]
    p = p * y + _P[3]
    p = p * y + _P[4]
    p = p * y + _P[5]
    p = p * y + _P[6]
    q = _Q[0]
    q = q * y + _Q[1]
    q = q * y + _Q[2]
    q = q * y + _Q[3]
    return x * p / q
