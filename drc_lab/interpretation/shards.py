"""Reads the files of a recording, which may come from anyone; `Recording` says what they hold."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file

from drc_lab.untrusted import as_mapping, opened

DECIDES = -1  # value of `thought` in the rows of deciding passes
ABOUT = "recording.json"
LARGEST_INDEX = 2**30  # bytes of an index
NUMBERS = ("level", "step", "thought", "action")
INDEX = [
    *((name, pa.int64()) for name in NUMBERS),
    *((name, pa.bool_()) for name in ("waits", "solved")),
    *((name, pa.int64()) for name in ("length", "optimal")),
]


def described(about: Any) -> Mapping[str, Any]:
    """The description of a recording, checked: what reads it needs the game and the size of its boards.

    Raises:
        ValueError: it is no such description.
    """
    sizes = [as_mapping(about, ABOUT).get(key) for key in ("height", "width")]
    if not all(type(size) is int and 0 < size < 2**16 for size in sizes) or not isinstance(about.get("game"), str):
        raise ValueError(f"found a game of {sizes}")
    return about


def read_shard(part: Path) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """The index and the tensors of one batch of levels, checked against each other before the index is decoded, whose
    few bytes could claim any number of rows.

    Raises:
        Exception: one of the files is not what `record` wrote.
    """
    with opened(part.with_suffix(".safetensors"), psutil.virtual_memory().available):
        tensors = load_file(part.with_suffix(".safetensors"))
    with opened(part, LARGEST_INDEX) as raw, pq.ParquetFile(raw) as file:
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        packed = {group.column(n).compression for group in groups for n in range(group.num_columns)}
        if [(field.name, field.type) for field in file.schema_arrow] != INDEX or not packed <= {
            "SNAPPY",
            "UNCOMPRESSED",
        }:
            raise ValueError(f"found columns {file.schema_arrow.names}, packed as {packed}")
        rows = {len(each) for name, each in tensors.items() if not of_boards(name)}
        if rows != {file.metadata.num_rows}:
            raise ValueError(f"found {rows} rows in tensors and {file.metadata.num_rows} in the index")
        index = file.read().to_pandas(ignore_metadata=True)
    steps = int((index["thought"] == DECIDES).sum()) + index["level"].nunique()
    if "obs" not in tensors or tensors["obs"].ndim != 4:
        raise ValueError("found no observations of boards")
    if any(len(each) != steps for name, each in tensors.items() if of_boards(name)) or "returns" not in tensors:
        raise ValueError(f"found boards of other than {steps} moments")
    return index, tensors


def of_boards(name: str) -> bool:
    """Whether a tensor has an entry for each moment of an episode instead of for each pass of the policy."""
    return name == "returns" or name.startswith("boards.")
