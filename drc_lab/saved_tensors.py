"""Reads files of `torch.save` that may come from anyone: checkpoints, weights, exported state dicts."""

import zipfile
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from drc_lab.archives import unpacking
from drc_lab.untrusted import opened

MOST_VALUES, DEEPEST = 2_000_000, 100  # in a file, and how deep they are nested
PLAIN = (str, bytes, int, float, bool, complex, type(None), torch.dtype, torch.device)


def read_torch(path: str | Path) -> Any:
    """What `torch.save` wrote, tensors on the CPU and plain types; nothing in the file is executed.

    Raises:
        UserError: it is no regular file, or larger than the free memory.
        Exception: it is damaged, or holds something else: torch raises errors of many types.
    """
    free = psutil.virtual_memory().available
    with opened(path, free) as file:
        if file.read(4) != b"PK\3\4":  # torch would take it for a file of torch < 1.6, whose sizes it believes
            raise ValueError("it is no file of torch 1.6 or newer")
    with unpacking(path, free) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("it is compressed, as torch never does")
        size = sum(member.file_size for member in archive.infolist())
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    _check_loaded(loaded, size)
    return loaded


def _check_loaded(loaded: Any, size: int) -> None:
    """Checks that values are plain, and that no tensor is larger than its part of the file.

    A tensor with strides of 0, say, can be of any size at no cost, until something copies it. Shared values count each
    time, because whatever copies them does not share them.
    """
    left, todo = MOST_VALUES, [(loaded, 0)]
    storages: dict[int, int] = {}
    while todo:
        node, depth = todo.pop()
        left -= 1
        if left < 0 or depth > DEEPEST:
            raise ValueError(f"more than {MOST_VALUES:,} values, or deeper than {DEEPEST}")
        if isinstance(node, dict):
            todo += [(part, depth + 1) for pair in dict.items(node) for part in pair]
        elif isinstance(node, torch.Size):
            continue
        elif isinstance(node, list | tuple | set):
            todo += [(part, depth + 1) for part in node]
        elif isinstance(node, Tensor):
            if type(node) not in (Tensor, torch.nn.Parameter) or node.layout != torch.strided or node.is_quantized:
                raise ValueError(f"a tensor of the kind {type(node).__name__}, {node.layout}")
            storage = node.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            if node.device.type != "cpu" or node.numel() * node.element_size() > storage.nbytes():
                raise ValueError(f"a tensor of shape {list(node.shape)}, of which the file holds less")
        elif not isinstance(node, PLAIN):
            raise ValueError(f"a value of type {type(node).__name__}")
    if sum(storages.values()) > size:
        raise ValueError("tensors that are larger than the file")
