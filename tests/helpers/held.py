"""What a process holds, looked at from within, for `forked.interrupt`."""

import ctypes
import functools
import gc
import json
import os
import sys

import psutil

EVERY = 50  # calls between two looks


class Mallinfo(ctypes.Structure):
    """glibc's ``struct mallinfo2``."""

    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
    )]  # fmt: skip


def held():
    """Bytes that are allocated and not freed, resident megabytes, open files, threads.

    Garbage in circles, which Python lets lie for a while, is collected before.
    """
    gc.collect()
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = Mallinfo
    heap, process = mallinfo(), psutil.Process()
    small = sys.getallocatedblocks() * 48  # Python's objects of up to 512 bytes, which glibc does not see one by one
    return {
        "bytes": heap.uordblks + heap.hblkhd + small,
        "rss_mb": process.memory_info().rss / 1e6,
        "files": process.num_fds(),
        "threads": process.num_threads(),
    }


def looks(path, leak=0):
    """Writes a line of what is held into a file, each `EVERY` calls; each call keeps ``leak`` bytes for good."""
    return functools.partial(_look, str(path), leak)


calls, kept = [0], []


def _look(path, leak, *args, **kwargs):
    calls[0] += 1
    if leak:
        kept.append(os.urandom(leak))
    if calls[0] % EVERY == 0:
        with open(path, "a") as file:
            file.write(json.dumps({"calls": calls[0], **held()}) + "\n")
