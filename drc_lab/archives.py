"""Reads zip and .npz files that may come from anyone: sizes that they declare are checked before memory is taken for
them, and nothing in them is executed."""

import math
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from drc_lab.errors import UserError
from drc_lab.untrusted import MiB, opened

LARGEST_DIRECTORY = 16 * MiB  # of an archive; zipfile reads it at once, and makes ten times as much of it
ALWAYS, RATIO = 64 * MiB, 100  # an archive may unpack to this many bytes, or to this many times its own length
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


@contextmanager
def unpacking(path: str | Path, most: int) -> Iterator[zipfile.ZipFile]:
    """Opens a zip file whose members have checked sizes: `zipfile` reads no more of a member than it declares.

    Args:
        path: of the file, which may have up to ``most`` bytes.
        most: bytes that all members may unpack to together.

    Raises:
        UserError: it is no regular file, or unpacks to too much.
        zipfile.BadZipFile: it is no zip file.
    """
    with opened(path, most) as file:
        guarded = _Guarded(file, LARGEST_DIRECTORY)
        with zipfile.ZipFile(guarded) as archive:
            guarded.most = None
            length, members = file.seek(0, 2), archive.infolist()
            size, allowed = sum(member.file_size for member in members), min(most, max(ALWAYS, RATIO * length))
            if size > allowed:
                raise UserError(f"{path}: found {size} bytes when unpacked, allowed: {allowed}")
            if sum(member.compress_size for member in members) > length:
                raise zipfile.BadZipFile("its members overlap")
            if len({member.filename for member in members}) < len(members):
                raise zipfile.BadZipFile("two members have the same name")
            yield archive


class _Guarded:
    """A file that refuses to read more than ``most`` bytes at once (None: reads any number)."""

    def __init__(self, file: BinaryIO, most: int | None):
        self.file, self.most = file, most
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if self.most is None:
            return self.file.read(size)
        data = self.file.read(self.most + 1 if size < 0 else min(size, self.most + 1))
        if len(data) > self.most:
            raise zipfile.BadZipFile(f"a directory of more than {self.most:,} bytes")
        return data


def read_npz(path: str | Path, most: int, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of a .npz file.

    Args:
        path: of the file.
        most: bytes that it may unpack to.
        names: of the arrays to read, if they are there; None is all of them.

    Raises:
        UserError: as `unpacking`.
        Exception: it is damaged, or holds something else than numbers: zipfile and numpy raise errors of many types.
    """
    with unpacking(path, most) as archive:
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        return {
            name: _array(archive, members[name]) for name in (members if names is None else names) if name in members
        }


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        if version not in HEADERS:
            raise ValueError(f"{member.filename} is no array")
        shape, _, dtype = HEADERS[version](stream)
        if dtype.kind not in "biuf" or any(type(n) is not int or n < 0 for n in shape):
            raise ValueError(f"{member.filename} holds {dtype}, not numbers")
        if math.prod(shape) * dtype.itemsize != member.file_size - stream.tell():
            raise ValueError(f"{member.filename} has other bytes than its shape {shape} says")
    with archive.open(member) as stream:
        return npy.read_array(stream, allow_pickle=False)
