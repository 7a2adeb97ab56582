"""Finished batches of a sweep on disk, so that an interrupted one goes on where it stopped."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from drc_lab.checksums import BLANK, MARK, intact, sealed
from drc_lab.errors import UserError, note
from drc_lab.evaluation.kinds.kind import Setting
from drc_lab.files import written
from drc_lab.untrusted import read_bytes

LARGEST = 2**28  # bytes of a part
DEPENDS_ON = b"drc_lab"  # metadata key of a part's file, for the digest of what its records depend on


class Parts:
    """Records in Parquet files, one for each setting and batch of levels.

    Args:
        folder: of the files.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def read(self, setting: Setting, levels: range, depends_on: Any) -> pd.DataFrame | None:
        """The records; None if there are none, the file is damaged (the user is told), or it was written with another
        ``depends_on``."""
        path = self._path(setting, levels)
        if not path.is_file():
            return None
        try:
            content = read_bytes(path, LARGEST)
            if MARK in content and not intact(content):  # files of older versions have no checksum
                raise OSError
            with pq.ParquetFile(pa.BufferReader(content)) as file:
                if file.metadata.num_rows != len(levels):  # a few bytes can claim any number
                    raise OSError
                table = file.read()
        except (OSError, UserError, pa.ArrowException):
            note(f"{path} is damaged; its levels are played again")
            return None
        if (table.schema.metadata or {}).get(DEPENDS_ON) != _digest(depends_on):
            return None
        return table.to_pandas()

    def write(self, setting: Setting, levels: range, depends_on: Any, records: pd.DataFrame) -> None:
        """Writes records.

        Args:
            setting, levels: what was played.
            depends_on: all that the records depend on, as plain types.
            records: of the setting on these levels.
        """
        table = pa.Table.from_pandas(records, preserve_index=False)
        about = {DEPENDS_ON: _digest(depends_on), b"checksum": MARK + BLANK}
        content = io.BytesIO()
        pq.write_table(table.replace_schema_metadata({**table.schema.metadata, **about}), content)
        with written(self._path(setting, levels)) as part:
            part.write_bytes(sealed(content.getvalue()))

    def _path(self, setting: Setting, levels: range) -> Path:
        return self.folder / f"{setting.name}.{levels.start:07}.parquet"


def _digest(depends_on: Any) -> bytes:
    return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).digest()
