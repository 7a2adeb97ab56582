"""Reads and writes the format of flax's `to_bytes`, msgpack with arrays as an extension type; needs only msgpack.

An array has extension type 1, and its data is itself msgpack: (shape, name of the dtype, bytes in C order). Types 2, a
complex number, and 3, a numpy scalar, do not occur in weights. An array of more than 1 GiB is a map of flattened
chunks. See flax/serialization.py.
"""

import math
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]
import numpy as np
import torch
from torch import Tensor

from drc_lab.errors import UserError
from drc_lab.models.published.leaves import Leaves
from drc_lab.untrusted import read_bytes

ARRAY = 1
CHUNKED = "__msgpack_chunked_array__"
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}
MOST_AXES = 8
LARGEST = 2**31  # bytes of a file
MOST_ENTRIES, MOST_NAMES = 1_000_000, 10_000  # of all maps and lists together, and of one map


def read_params(path: Path) -> Leaves:
    """Reads the parameters of a saved TrainState; the name of each is its path in the tree, joined by dots.

    Levels named ``params`` are left out of the path: newer files have two of them above the modules, older ones one
    above and one below. The optimizer's state is not decoded.

    Raises:
        UserError: in one line, what is wrong with the file.
    """
    data, left = read_bytes(path, LARGEST), MOST_ENTRIES

    def counted(entries: Any) -> Any:
        nonlocal left
        left -= 1 + len(entries)
        if left < 0:
            raise ValueError(f"more than {MOST_ENTRIES:,} entries")
        return entries

    try:
        # An entry takes up to a hundred times its bytes, so limit their number, and how many msgpack takes in before
        # it can be counted: it even preallocates a list by its claimed length. flax stores its own lists as maps.
        tree = msgpack.unpackb(data, max_array_len=1024, max_map_len=MOST_NAMES, object_hook=counted, list_hook=counted)
    except Exception as error:  # on damaged files msgpack can raise almost any error
        raise UserError(f"{path}: no whole msgpack file of flax ({' '.join(str(error).split())})") from None
    if not isinstance(tree, dict) or not isinstance(tree.get("params"), dict):
        found = f"a map of {', '.join(map(repr, tree))[:80]}" if isinstance(tree, dict) else type(tree).__name__
        raise UserError(f"{path}: found {found}, allowed: a TrainState of flax, with params")
    leaves: dict[str, Any] = {}
    todo: list[tuple[tuple[Any, ...], Any]] = [((), tree["params"])]
    while todo:  # not recursive, because the file determines the depth
        above, node = todo.pop()
        if isinstance(node, dict) and CHUNKED not in node:
            todo += [((*above, name), child) for name, child in node.items()]
        else:
            leaves[".".join(str(name) for name in above if name != "params")] = node
    return Leaves(path, leaves, array)


def array(leaf: Any) -> Tensor:
    """Decodes one leaf of the tree to a tensor.

    Raises:
        ValueError: it is not an array of floats, or its number of bytes does not match its shape.
    """
    if isinstance(leaf, dict):
        return _unchunked(leaf)
    if not isinstance(leaf, msgpack.ExtType) or leaf.code != ARRAY:
        raise ValueError(f"found {type(leaf).__name__}, allowed: an array")
    fields = msgpack.unpackb(leaf.data, max_array_len=MOST_AXES)
    if not isinstance(fields, list) or len(fields) != 3:
        raise ValueError("an array is shape, dtype and bytes")
    shape, dtype, data = fields
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"found {dtype!r:.40}, allowed: {' | '.join(DTYPES)}")
    size = _size(shape) * DTYPES[dtype].itemsize
    if not isinstance(data, bytes) or len(data) != size:
        raise ValueError(f"its bytes are not the {size} of {shape} {dtype}")
    return torch.frombuffer(bytearray(data), dtype=DTYPES[dtype]).reshape(shape) if size else torch.zeros(shape)


def _size(shape: Any) -> int:
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"found shape {shape!r:.40}")
    return math.prod(shape)


def _unchunked(node: dict[str, Any]) -> Tensor:
    """Joins the chunks of a large array."""
    shape, chunks = _listed(node.get("shape")), _listed(node.get("chunks"))
    if not chunks or len(shape) > MOST_AXES or any(isinstance(chunk, dict) for chunk in chunks):
        raise ValueError("its chunks are not those of an array")
    whole = torch.cat([array(chunk).flatten() for chunk in chunks])
    if _size(shape) != len(whole):
        raise ValueError(f"its chunks have {len(whole)} numbers, its shape is {shape}")
    return whole.reshape(shape)


def _listed(part: Any) -> list[Any]:
    """Converts a list from flax's form, a map with keys "0", "1", ..., to a Python list."""
    if not isinstance(part, dict) or part.keys() != {str(i) for i in range(len(part))}:
        raise ValueError("its chunks are not numbered")
    return [part[str(i)] for i in range(len(part))]


def to_bytes(tree: dict[str, Any]) -> bytes:
    """Encodes a tree of maps, numbers and float arrays as flax does."""
    return msgpack.packb(tree, default=_pack, strict_types=True)


def _pack(leaf: np.ndarray) -> msgpack.ExtType:
    return msgpack.ExtType(ARRAY, msgpack.packb((leaf.shape, leaf.dtype.name, leaf.tobytes("C"))))
