"""Opens files that may come from anyone: regular files of a bounded size, read as data.

What is not a regular file is refused at once, and not waited for, like a named pipe, or read without end, like
/dev/zero. Light to import.
"""

import errno
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from omegaconf import DictConfig, OmegaConf

from drc_lab.errors import UserError

MiB = 2**20
LARGEST_TEXT = MiB  # of a config or description
MOST_NODES, DEEPEST = 100_000, 50  # of the tree of a config
KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket"}


@contextmanager
def opened(path: str | Path, most: int) -> Iterator[BinaryIO]:
    """Opens a regular file of at most ``most`` bytes.

    Raises:
        UserError: there is no such file, it cannot be read, is no regular file or is larger.
    """
    try:
        with open(path, "rb", opener=_opener) as file:
            size = size_of_regular(file.fileno(), path)
            if size > most:
                raise UserError(f"{path}: found {size:,} bytes, allowed: up to {most:,}")
            yield file
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:  # a name with a null character
        if "null" not in str(error):
            raise
        raise UserError(f"{str(path)!r}: {os.strerror(errno.ENOENT)}") from None


def size_of_regular(descriptor: int, path: str | Path) -> int:
    """The bytes of an open file.

    Raises:
        UserError: it is no regular file.
    """
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        kind = KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise UserError(f"{path}: found {kind}, allowed: a regular file")
    return status.st_size


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # so that a pipe without a writer does not block


def read_bytes(path: str | Path, most: int) -> bytes:
    """The content of a regular file, see `opened`."""
    with opened(path, most) as file:
        return file.read()


def read_json(path: Path, most: int = LARGEST_TEXT) -> Any:
    """The content of a JSON file, see `opened`.

    Raises:
        UserError: it is not JSON.
    """
    data = read_bytes(path, most)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: no JSON file ({' '.join(str(error).split())})") from None


def read_config(path: Path) -> DictConfig:
    """The config in a YAML file that a run left, see `opened`.

    Raises:
        UserError: it is not YAML, holds something else, or refers to itself, by which a short file can become a huge
            config; a run writes no such references.
    """
    data = read_bytes(path, LARGEST_TEXT)
    try:
        text = data.decode()
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, yaml.SafeLoader)):
            raise ValueError("it refers to itself")
        config = OmegaConf.create(text)
        tree = plain_tree(OmegaConf.to_container(config, resolve=False))
        if not isinstance(tree, dict):
            raise ValueError(f"it is a {type(tree).__name__}")
        return OmegaConf.create(tree)
    except Exception as error:  # a damaged file makes the YAML parser raise errors of many types
        raise UserError(f"{path}: no config of a run ({' '.join(str(error).split()):.200})") from None


def plain_tree(tree: Any) -> Any:
    """A copy of nested dicts and lists of plain values; tuples become lists.

    Raises:
        ValueError: it is too large or deep for a config, or holds other types. Branches that occur several times count
            each time.
    """
    left = MOST_NODES

    def copy(node: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > DEEPEST:
            raise ValueError(f"more than {MOST_NODES:,} values, or deeper than {DEEPEST}")
        if isinstance(node, dict):
            for key in dict.keys(node):
                if type(key) not in (str, int, float, bool):
                    raise ValueError(f"a key of type {type(key).__name__}")
            return {key: copy(value, depth + 1) for key, value in dict.items(node)}
        if isinstance(node, list | tuple):
            return [copy(value, depth + 1) for value in node]
        if node is not None and type(node) not in (str, int, float, bool):
            raise ValueError(f"a value of type {type(node).__name__}")
        if type(node) is int and not -(2**63) <= node < 2**64:
            raise ValueError("a number of more than 64 bits")
        return node

    return copy(tree, 0)


def as_mapping(value: Any, source: str) -> Mapping[str, Any]:
    """The value if it is a dict with text as keys.

    Raises:
        UserError: it is not; ``source`` is what holds it.
    """
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UserError(f"{source}: found {type(value).__name__}, allowed: keys and their values")
    return value
