import os

import pytest

from rtml.registry.blobs import Blobs


@pytest.fixture
def blobs(tmp_path):
    return Blobs(tmp_path)


def test_content_is_named_by_its_hash_and_written_once(blobs):
    name = blobs.write(b"weights")
    before = os.stat(blobs.path / name).st_mtime_ns
    assert blobs.write(b"weights") == name and os.stat(blobs.path / name).st_mtime_ns == before
    assert blobs.read(name) == b"weights" and len(name) == 64


def test_changed_or_missing_content_is_refused(blobs):
    name = blobs.write(b"weights")
    (blobs.path / name).write_bytes(b"evil")
    with pytest.raises(ValueError, match="was changed: its content hashes to"):
        blobs.read(name)
    (blobs.path / name).unlink()
    with pytest.raises(FileNotFoundError, match="is missing: restore it from a backup"):
        blobs.read(name)


def test_writing_again_heals_changed_content(blobs):
    name = blobs.write(b"weights")
    (blobs.path / name).write_bytes(b"evil")
    assert blobs.read(blobs.write(b"weights")) == b"weights"


def test_what_a_killed_writer_left_is_swept(blobs):
    name = blobs.write(b"weights")
    (blobs.path / f"{name[::-1]}.17.part").write_bytes(b"wei")
    assert blobs.sweep() == 1 and [path.name for path in blobs.path.iterdir()] == [name]
