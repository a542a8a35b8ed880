"""Where CIFAR-10 would be read, and whether it is the official archive."""

import hashlib
import sys

import pytest

from nerva.datasets.cifar10 import located

MODULE = sys.modules[located.__module__]


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """An archive whose checksum is said to be the official one."""
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(b"photographs")
    monkeypatch.setitem(MODULE._SHA256, path.name, hashlib.sha256(b"photographs").hexdigest())
    return path


def test_the_official_archive_is_known_by_its_content(archive, tmp_path):
    assert located(archive) == located(tmp_path) == (archive, True)
    renamed = archive.rename(tmp_path / "mine.tgz")
    assert located(renamed) == (renamed, True)
    renamed.write_bytes(b"other photographs")
    assert located(renamed) == (renamed, False)


def test_a_folder_is_not_verified(archive, tmp_path):
    (folder := tmp_path / "cifar-10-batches-bin").mkdir()
    assert located(tmp_path) == (folder, False)  # which is read before the archive


def test_nothing_is_there(tmp_path, monkeypatch):
    assert located(tmp_path) is None
    with pytest.raises(FileNotFoundError, match=r"missing \(dir\) does not exist"):
        located(tmp_path / "missing")
