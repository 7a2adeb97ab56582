"""Command lines as forks of a process that has everything imported: a second each, where a fresh one takes eight.

Light to import: each fork does it.
"""

import contextlib
import importlib
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

PRELOADED = [  # what most tasks import sooner or later
    "drc_lab.__main__", "drc_lab.tasks.thinking_sweep", "drc_lab.tasks.play", "drc_lab.envs.ricochet",
    "drc_lab.envs.sokoban", "drc_lab.models.drc", "drc_lab.models.mlp", "mlflow.store.tracking.sqlalchemy_store",
    "sqlalchemy.dialects.sqlite", "git", "numba.core.inline_closurecall", "torch._dynamo",
]  # fmt: skip


def owner_of(place):
    """The module or class, and the name in it, of a function that is named as for `interrupt`."""
    module, names = place.split(":")
    *owners, name = names.split(".")
    owner = importlib.import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    return owner, name


def interrupt(place, call, fault):
    """Lets something happen right before a call of a function.

    Args:
        place: the function, ``module:name`` or ``module:class.name``.
        call: which of its calls, counted from 1; None is each.
        fault: number of a signal to raise, or a function that is given the call's arguments.
    """
    owner, name = owner_of(place)
    function, calls = getattr(owner, name), itertools.count(1)

    def interrupted(*args, **kwargs):
        if call in (None, next(calls)):
            fault(*args, **kwargs) if callable(fault) else signal.raise_signal(fault)
        return function(*args, **kwargs)

    setattr(owner, name, interrupted)


def work(folder, words, environment, output, errors, interruption):
    """What ``python -m drc_lab`` does, in this process."""
    from drc_lab.__main__ import main

    os.environ.clear()  # it is that of the moment when the first fork was started
    os.environ.update(environment)
    os.chdir(folder)
    for stream, path in ((1, output), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
    if interruption:
        interrupt(*interruption)
    sys.argv = [sys.modules[main.__module__].__file__, *words]  # by which MLflow finds the code's commit
    main()


class Fork:
    """The part of `subprocess.Popen` that tests need, its streams kept in files.

    All forks of a worker have the same hash seed, and what libraries read from the environment when they are imported.

    Args:
        folder: to work in.
        words: after ``python -m drc_lab``.
        interruption: arguments of `interrupt`, if something is to happen at a named moment.
    """

    def __init__(self, folder, words, interruption=()):
        self.args = ["drc_lab", *words]
        self._said = None
        self._kept = tempfile.TemporaryDirectory(prefix="forked-")
        self._streams = [Path(self._kept.name) / name for name in ("stdout", "stderr")]
        for path in self._streams:
            path.touch()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self._process = context.Process(
            target=work, args=(str(folder), words, dict(os.environ), *map(str, self._streams), interruption)
        )
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def send_signal(self, number):
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            if self.poll() is None:
                os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def communicate(self, timeout=None):
        """What it printed and its complaint, once it has ended."""
        self.wait(timeout)
        self._said = self._said or tuple(path.read_text() for path in self._streams)
        self._kept.cleanup()
        return self._said

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.communicate()
