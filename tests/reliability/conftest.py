"""Disks that a test can fill or make read-only."""

import os
import subprocess
import sys

import pytest
from forked import interrupt, owner_of

MEGABYTES = 64


class Disk:
    """A small disk of its own.

    Attributes:
        path: where it is mounted.
    """

    def __init__(self, path):
        self.path, self.filler = path, path / "filler"

    def fill(self, *_, **__):
        """Leaves no byte free."""
        with self.filler.open("ab", buffering=0) as file:
            try:
                while file.write(bytes(2**12)):
                    pass
            except OSError:
                return

    def free(self):
        self.filler.unlink()

    def make_read_only(self, *_, **__):
        """Nothing can be opened for writing any more, as after an error of the disk."""
        mount("--bind", self.path, self.path)
        mount("-o", "remount,bind,ro", self.path)


def mount(*words):
    return subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=True)


@pytest.fixture
def disk(tmp_path):
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs a disk to fill: only root on Linux may mount one")
    path = tmp_path / "disk"
    path.mkdir()
    try:
        mount("-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", path)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs a disk to fill, which this container may not mount: {getattr(error, 'stderr', error)}")
    yield Disk(path)
    while subprocess.run(["umount", "--lazy", path], capture_output=True).returncode == 0:
        pass


@pytest.fixture
def at():
    """Lets something happen right before a call of a function, see `forked.interrupt`. ``at.undo()`` ends that."""
    with pytest.MonkeyPatch.context() as patch:

        def at(place, call, fault):
            owner, name = owner_of(place)
            patch.setattr(owner, name, getattr(owner, name))  # what `undo` restores
            interrupt(place, call, fault)

        at.undo = patch.undo
        yield at
