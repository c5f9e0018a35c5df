"""Checksums of files, which find damage, not forgery; and hashes."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

_READ = 2**18
_BLOCK = 2**14
_BLOCKS = 64
_HASHED = 2**22


def add_file(digest: Any, file: str | Path) -> None:
    """Add the bytes of a file to a hash of hashlib."""
    with open(file, "rb") as stream:
        while block := stream.read(_HASHED):
            digest.update(block)


def checksum(file: Path) -> int:
    """Return the CRC-32 of all bytes."""
    value, block = 0, memoryview(bytearray(_READ))
    with file.open("rb", buffering=0) as stream:
        while size := stream.readinto(block):
            value = zlib.crc32(block[:size], value)
    return value


def sampled_checksum(file: Path) -> int:
    """Return the CRC-32 of 64 blocks of 16 KiB, spread evenly from the first byte to the last."""
    value, last = 0, max(0, file.stat().st_size - _BLOCK)
    with file.open("rb", buffering=0) as stream:
        for number in range(_BLOCKS):
            stream.seek(last * number // (_BLOCKS - 1))
            value = zlib.crc32(stream.read(_BLOCK), value)
    return value
