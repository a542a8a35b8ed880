"""A few of the broken files of tests/broken_files.py, in a process of its own, and archives that mean harm."""

import importlib
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import nerva

PROGRAM = Path(__file__).parent / "broken_files.py"


def test_broken_files_are_refused_or_read_with_their_true_content(tmp_path):
    command = [sys.executable, "-P", str(PROGRAM), "--flips", "60"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 8
    for row in found:
        assert row["refused"] + row["true content"] + row["other content"] == 60
        if "IDX" != row["format"] != "CIFAR-10 (folder)":
            assert row["other content"] == 0
            assert row["refused"] > 40, row


def bomb(path, name, shape):
    """An .npz file of a few kilobytes, one of whose arrays is of zeros, and large."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(name, "w", force_zip64=True) as entry,
    ):
        entry.write(head.getvalue())
        for _ in range(int(np.prod(shape)) * 4 >> 20):
            entry.write(bytes(1 << 20))


def test_a_zip_bomb_is_no_weight_file(tmp_path):
    bomb(tmp_path / "bomb.npz", "0.values.npy", (1 << 24,))
    assert (tmp_path / "bomb.npz").stat().st_size < 1 << 17
    with pytest.raises(ValueError, match=r"bomb\.npz"):
        nerva.load_weights(tmp_path / "bomb.npz")


def test_an_entry_that_says_less_than_it_holds_is_refused(tmp_path):
    bomb(tmp_path / "bomb.npz", "Xtrain.npy", (1 << 20,))
    content = bytearray((tmp_path / "bomb.npz").read_bytes())
    at = content.rindex(b"PK\x01\x02") + 24  # the size of the content, in the central directory
    content[at : at + 4] = (1000).to_bytes(4, "little")
    (tmp_path / "bomb.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"bomb\.npz"):
        nerva.datasets.npz(tmp_path / "bomb.npz")


def archive_of(path, *members):
    """A .tar.gz with these members: (name, content, or the target of a link)."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


@pytest.fixture
def small(monkeypatch):
    """CIFAR-10 of one image a batch."""
    monkeypatch.setattr(importlib.import_module("nerva.datasets.cifar10"), "_RECORDS", 1)
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    return {name: bytes([i]) + bytes(3072) for i, name in enumerate(names)}


def test_paths_in_an_archive_lead_nowhere(tmp_path, small):
    """Nothing is extracted: names that leave the folder are names, and no file appears."""
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    path = inside / "cifar-10-binary.tar.gz"
    evil = [("../../evil", b"x"), ("/tmp/evil-of-nerva", b"x")]
    archive_of(path, *evil, *((f"../../{name}", content) for name, content in small.items()))
    data = nerva.datasets.cifar10(path, download=False)
    assert data.train.y.tolist() == [0, 1, 2, 3, 4]
    assert sorted(found.name for found in tmp_path.rglob("*") if found.is_file()) == [path.name]
    assert not Path("/tmp/evil-of-nerva").exists()


def test_links_in_an_archive_are_not_followed(tmp_path, small):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(3073))
    path = tmp_path / "cifar-10-binary.tar.gz"
    archive_of(path, ("test_batch.bin", str(secret)), *list(small.items())[:5])
    with pytest.raises(ValueError, match="lacks test_batch"):
        nerva.datasets.cifar10(path, download=False)


def test_a_tar_bomb_is_refused_by_its_size(tmp_path, small):
    path = tmp_path / "cifar-10-binary.tar.gz"
    archive_of(path, ("data_batch_1.bin", bytes(1 << 26)), *list(small.items())[1:])
    assert path.stat().st_size < 1 << 17
    with pytest.raises(ValueError, match="expected 3073 bytes, found 67108864"):
        nerva.datasets.cifar10(path, download=False)


def test_a_link_among_files_is_read_as_what_it_leads_to(tmp_path):
    nerva.save(nerva.MLP([4, 3], seed=1), tmp_path / "model.safetensors")
    (tmp_path / "link").symlink_to(tmp_path / "model.safetensors")
    assert nerva.load(tmp_path / "link").nnz == 12
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError, match="loop"):
        nerva.load(tmp_path / "loop")
    nerva.save(nerva.MLP([4, 3], density=0.5, seed=2), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert nerva.load(tmp_path / "model.safetensors").nnz == 6
