"""SHA-256 checksums that lie within the files that they are of, so that a copied, renamed or uploaded file has its own.

`MARK` and 64 hexadecimal digits, the SHA-256 of all other bytes of the file, stand where the file's format has a place
for remarks: in a zip archive, as which torch writes checkpoints, they are the archive's comment at its end. Whatever
else reads such a file does not notice them. Light to import.
"""

import hashlib
import re
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

MARK = b"drc_lab sha256 "
BLANK = b"0" * 64  # stands for the digits until they are known
_CHECKSUM = re.compile(re.escape(MARK) + rb"([0-9a-f]{64})", re.ASCII)
_COMMENT = len(MARK) + len(BLANK)
_END = zipfile.sizeEndCentDir  # type: ignore[attr-defined]  # bytes that end an archive without a comment
CHANGED = "is damaged: its bytes are not those that were written (their SHA-256 is another)"


def seal_zip(archive: BinaryIO) -> None:
    """Gives a zip archive without a comment, open for reading and writing, its checksum as the comment."""
    archive.seek(-2, 2)
    archive.write(struct.pack("<H", _COMMENT) + MARK)
    size = archive.tell()
    digits = _hashed(archive, size)
    archive.seek(size)
    archive.write(digits.encode())


def fault_in_zip(path: Path) -> str | None:
    """What is wrong with a zip archive, to be read after its name; None if it is whole or no zip archive at all.

    Without a checksum of its own (archives from elsewhere, older checkpoints) the CRC-32 of its records are checked,
    which torch does not do.
    """
    try:
        with path.open("rb") as file:
            begins = file.read(4)
            size = file.seek(0, 2)
            file.seek(max(0, size - _COMMENT))
            if found := _CHECKSUM.fullmatch(file.read()):
                return None if _hashed(file, size - len(BLANK)) == found[1].decode() else CHANGED
            if begins != b"PK\x03\x04":
                return None
            file.seek(max(0, size - _END))
            if not re.fullmatch(rb"PK\x05\x06.{16}\0\0", file.read(), re.DOTALL):
                return "is damaged: its end is missing, or was changed"
            with zipfile.ZipFile(file) as archive:
                stored = all(
                    member.compress_type == zipfile.ZIP_STORED for member in archive.infolist()
                )  # as torch does
                record = archive.testzip() if stored else None  # what is packed may be a bomb
            return None if record is None else f"is damaged: {record} in it has changed (its CRC-32 is another)"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except Exception as error:  # of a damaged archive zipfile may raise errors of many types
        return f"is damaged ({' '.join(str(error).split())})"


def _hashed(file: BinaryIO, size: int) -> str:
    """The SHA-256 of a file's first ``size`` bytes."""
    hashed = hashlib.sha256()
    file.seek(0)
    while size and (part := file.read(min(size, 2**20))):
        hashed.update(part)
        size -= len(part)
    return hashed.hexdigest()


def sealed(content: bytes) -> bytes:
    """The content of a file of any format in which `MARK` and `BLANK` stand once, with its checksum in place of the
    latter."""
    before, after = content.rsplit(MARK + BLANK, 1)
    before += MARK
    return before + hashlib.sha256(before + after).hexdigest().encode() + after


def intact(content: bytes) -> bool:
    """Whether content that `sealed` returned is still the same; False also if it has no checksum."""
    if not (found := list(_CHECKSUM.finditer(content))):
        return False
    start, end = found[-1].span(1)
    return hashlib.sha256(content[:start] + content[end:]).hexdigest() == found[-1][1].decode()
