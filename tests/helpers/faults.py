"""Faults for `forked.interrupt`: what a machine may do to a process."""

import functools
import os
import resource
import signal
from types import SimpleNamespace


def in_a_new_file(size):
    """A fault right before a file is written: the kernel kills the process where the file has ``size`` bytes."""
    return functools.partial(_in_a_new_file, size)


def in_a_line(size):
    """A fault for `Journal.add`: a kill when ``size`` bytes of the line are written."""
    return functools.partial(_in_a_line, size)


def _in_a_new_file(size, *args, **kwargs):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # which Python ignores: its writes would raise an OSError


def _in_a_line(size, journal, *args, **kwargs):
    file = journal._file

    def write(line):
        file.write(line[:size])
        os.kill(os.getpid(), signal.SIGKILL)

    journal._file = SimpleNamespace(write=write, fileno=file.fileno, close=file.close)


def limited_to(size):
    """A fault: files of this process may have ``size`` bytes from now on."""
    return functools.partial(_limited_to, size)


def _limited_to(size, *args, **kwargs):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
