"""The numba decorator with which all loops of the project are compiled."""

import hashlib
from contextlib import ExitStack
from pathlib import Path

import numba
from numba.core import event

from drc_lab.kernel_cache import cache_folder
from drc_lab.progress import working

# Numba's disk cache checks only the file that contains a function, and would not notice changes in functions that it
# calls from other files. So the cache folder depends on the content of all files with compiled code.
_PACKAGE = Path(__file__).parent
_COMPILED = [*(_PACKAGE / "models" / "compiled").glob("*.py"), *(_PACKAGE / "envs").rglob("*.py")]
_SOURCES = [Path(__file__), *sorted(_COMPILED)]
_DIGEST = hashlib.sha256(b"".join(path.read_bytes() for path in _SOURCES)).hexdigest()[:12]
_FOLDER = cache_folder(_PACKAGE, _DIGEST)
CACHED = _FOLDER is not None
if CACHED:
    numba.config.CACHE_DIR = str(_FOLDER)  # type: ignore[attr-defined]

# Division by zero must not raise, because loops with such checks are not vectorised. Reassociation and contraction are
# allowed; "no NaNs" and "no infinities" are not, because a NaN has to reach the guard that reports it.
FASTMATH = {"reassoc", "contract", "arcp", "nsz"}
jit = numba.njit(error_model="numpy", fastmath=FASTMATH, cache=CACHED, nogil=True)


class _Compiling(event.Listener):
    """Shows a progress line during compilation, which takes seconds for functions that are not in the cache."""

    def __init__(self) -> None:
        self.shown, self.depth = ExitStack(), 0

    def on_start(self, event: event.Event) -> None:
        if not self.depth:  # not for functions that are compiled as part of their caller
            name = event.data["dispatcher"].py_func.__name__
            self.shown.enter_context(working(f"compiling {name}, for the first use"))
        self.depth += 1

    def on_end(self, event: event.Event) -> None:
        self.depth -= 1
        if not self.depth:
            self.shown.close()


event.register("numba:compile", _Compiling())
