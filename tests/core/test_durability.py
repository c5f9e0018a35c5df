"""What -o writes is on the disk before it gets its name, and says when it was damaged there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import zstandard

from rdtools.core.errors import InputError, RdError
from rdtools.core.output import open_output
from rdtools.core.streams import open_lines

NAMES = ["out", "out.gz", "out.zst"]


def write(path: Path, content: bytes) -> None:
    with open_output(str(path)) as out:
        out.write(content)


@pytest.mark.parametrize("name", NAMES)
def test_all_bytes_are_synced_before_the_file_takes_its_name(tmp_path, monkeypatch, name):
    calls = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor):
        calls.append(("sync", os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size))
        fsync(descriptor)

    def replaced(source, target):
        calls.append(("replace", os.stat(source).st_ino, os.stat(source).st_size))
        replace(source, target)

    monkeypatch.setattr("os.fsync", synced)
    monkeypatch.setattr("os.replace", replaced)
    write(tmp_path / name, b"first\n" * 1000)
    done = (tmp_path / name).stat()
    assert calls[:2] == [(what, done.st_ino, done.st_size) for what in ("sync", "replace")]


@pytest.mark.parametrize("name", NAMES)
def test_a_disk_that_fails_to_sync_is_one_line_and_the_old_file_stays(tmp_path, monkeypatch, name):
    def fail(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / name).write_bytes(b"old")
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(RdError) as error:
        write(tmp_path / name, b"new")
    assert str(error.value) == f"{tmp_path / name}: cannot write: Input/output error"
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"old"


@pytest.mark.parametrize("name", ["out.gz", "out.zst"])
def test_a_changed_byte_of_a_compressed_file_is_noticed(tmp_path, name):
    """Also one that decompresses: random bytes stand in the file as they are."""
    path = tmp_path / name
    content = os.urandom(50).hex().encode() + b"\n" + bytes(range(128, 250)) + b"\n"
    write(path, content)
    whole = path.read_bytes()
    place = whole.index(bytes(range(140, 240))) if bytes(range(140, 240)) in whole else len(whole) // 2
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(InputError, match="compressed data is damaged"), open_lines(str(path)) as lines:
        list(lines)
    assert name == "out.gz" or zstandard.get_frame_parameters(whole).has_checksum


def test_zstd_is_unfolded_4_kib_at_a_time(tmp_path, monkeypatch):
    """4 bytes may stand for 128 KiB: a hostile file must not have all of its bytes unfolded together."""
    sizes = []
    decompressor = zstandard.ZstdDecompressor

    class Watched:
        def decompressobj(self):
            self.frame = decompressor().decompressobj()
            return self

        def decompress(self, data):
            sizes.append(len(data))
            return self.frame.decompress(data)

        def __getattr__(self, name):
            return getattr(self.frame, name)

    content = os.urandom(10_000).hex().encode()
    (tmp_path / "in").write_bytes(zstandard.compress(content))
    monkeypatch.setattr("zstandard.ZstdDecompressor", Watched)
    with open_lines(str(tmp_path / "in")) as lines:
        assert list(lines) == [content]
    assert len(sizes) > 1
    assert max(sizes) <= 4096
