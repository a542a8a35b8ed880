"""CIFAR-10 in all its layouts, and damaged."""

import gzip
import io
import os
import pickle
import tarfile
import zlib

import numpy as np
import pytest

from nerva.datasets import cifar10

from .sources import ARCHIVES, RECORDS, binary, check_cifar10, cifar10_files, extract, pack, python2_pickle


@pytest.mark.parametrize("layout", ["bin", "py"])
def test_cifar10_is_read_in_every_layout(tmp_path, records, layout, monkeypatch):
    prefix = f"cifar-10-batches-{layout}"
    content = cifar10_files(records, layout)
    batches = extract(tmp_path / "a" / prefix, content)
    renamed = extract(tmp_path / "renamed", content)
    (tmp_path / "b").mkdir()
    archive = pack(tmp_path / "b" / ARCHIVES[layout], content, prefix)
    other = pack(tmp_path / "other.tgz", content, "./some/folder")
    for place in (tmp_path / "a", batches, renamed, tmp_path / "b", archive, other, str(archive)):
        check_cifar10(cifar10(place, download=False), records)
    monkeypatch.setenv("NERVA_DATA", str(tmp_path / "b"))
    check_cifar10(cifar10(download=False), records)


def test_cifar10_is_kept_as_bytes(tmp_path, records):
    data = cifar10(extract(tmp_path / "cifar-10-batches-bin", cifar10_files(records, "bin")))
    assert data.train.X.nbytes == 5 * RECORDS * 3072 + 2 * 4 * 3072


def test_cifar10_in_fortran_order_is_read(tmp_path, records):
    content = cifar10_files(records, "py") | {"data_batch_2": python2_pickle(*records["data_batch_2"], fortran=True)}
    check_cifar10(cifar10(extract(tmp_path / "cifar-10-batches-py", content)), records)


def test_cifar10_that_is_nowhere_is_named(tmp_path, records, monkeypatch):
    missing = tmp_path / "missing"
    with pytest.raises(FileNotFoundError, match=r"missing \(dir\) does not exist.*mkdir -p"):
        cifar10(missing)
    monkeypatch.setenv("NERVA_DATA", str(missing))
    with pytest.raises(FileNotFoundError, match=r"missing \(NERVA_DATA\) does not exist"):
        cifar10()
    with pytest.raises(FileNotFoundError, match=r"no CIFAR-10 in .*cifar-10-binary.tar.gz"):
        cifar10(tmp_path, download=False)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("layout", ["bin", "py"])
def test_cifar10_names_a_missing_batch(tmp_path, records, layout):
    content = cifar10_files(records, layout)
    lost = next(name for name in content if name.startswith("data_batch_4"))
    del content[lost]
    with pytest.raises(FileNotFoundError, match=f"{lost}: this batch of CIFAR-10 is missing"):
        cifar10(extract(tmp_path / f"cifar-10-batches-{layout}", content))
    with pytest.raises(ValueError, match=r"other.tar.gz: this archive of CIFAR-10 lacks data_batch_4$"):
        cifar10(pack(tmp_path / "other.tar.gz", content, "x"))


def damaged(records):
    """Give files that are wrong, and what the message has to say."""
    labels, pixels = records["data_batch_3"]
    bad = labels.copy()
    bad[7] = 10
    good = python2_pickle(labels, pixels)
    size = RECORDS * 3073
    yield "data_batch_3.bin", binary(labels, pixels)[:-1], f"expected {size} bytes, found {size - 1}"
    yield "data_batch_3.bin", binary(labels, pixels) + b"x", f"expected {size} bytes, found {size + 1}"
    yield "data_batch_3.bin", b"", f"expected {size} bytes, found 0"
    yield "data_batch_3.bin", binary(bad, pixels), "expected labels from 0 to 9, found 10 in record 7"
    yield "data_batch_3", python2_pickle(bad, pixels), "expected labels from 0 to 9, found 10 in record 7"
    yield "data_batch_3", python2_pickle(bad - 9, pixels), "expected labels from 0 to 9, found -"
    yield "data_batch_3", python2_pickle(labels[:-1], pixels), "expected 20 whole numbers as labels, found 19"
    yield "data_batch_3", python2_pickle(labels, pixels[:-1]), r"shape \(20, 3072\), found \(19, 3072\)"
    yield "data_batch_3", python2_pickle(labels, pixels, content=b"abc"), "expected 61440 bytes of data, found 3"
    yield "data_batch_3", python2_pickle(labels, pixels, dtype=b"O8"), "the array does not hold bytes"
    yield "data_batch_3", good[: len(good) // 2], "or a damaged one"
    yield "data_batch_3", b"", "or a damaged one"
    yield "data_batch_3", b"hello", "or a damaged one"
    yield "data_batch_3", pickle.dumps([1, 2], 2), "not a batch of CIFAR-10: it has no array 'data'"
    yield "data_batch_3", good.replace(b"U\x04data", b"U\x04Data"), "it has no array 'data'"
    yield "data_batch_3", good.replace(b"U\x06labels", b"U\x06Labels"), "no list 'labels'"


def test_cifar10_names_a_damaged_batch(tmp_path, records):
    for k, (name, data, message) in enumerate(damaged(records)):
        layout = "bin" if name.endswith(".bin") else "py"
        content = cifar10_files(records, layout) | {name: data}
        for place in (
            extract(tmp_path / f"{k}" / f"cifar-10-batches-{layout}", content),
            pack(tmp_path / f"{k}.tar.gz", content, "x"),
        ):
            with pytest.raises(ValueError, match=f"{name}: .*{message}"):
                cifar10(place)


def test_cifar10_runs_no_code_of_a_pickle(tmp_path, records):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    class Sneaky:
        def __reduce__(self):
            return getattr, (np.ndarray, "tofile")

    for k, evil in enumerate((Evil(), {b"data": Sneaky()}, {b"labels": np.float64})):
        content = cifar10_files(records, "py") | {"data_batch_1": pickle.dumps(evil, 2)}
        with pytest.raises(ValueError, match=r"data_batch_1: .*it asks for \w+\.\w+, which no batch"):
            cifar10(extract(tmp_path / f"{k}" / "cifar-10-batches-py", content))
    assert not (tmp_path / "executed").exists()


def test_cifar10_names_a_damaged_archive(tmp_path, records):
    content = cifar10_files(records, "bin")
    good = pack(tmp_path / "good.tar.gz", content, "x").read_bytes()
    middle = len(good) // 2
    flipped = bytearray(good)
    flipped[middle] ^= 0x40
    unchecked = bytearray(good)
    unchecked[-6] ^= 1  # in gzip's checksum: only who reads to the end notices
    tar = gzip.decompress(good)
    padded = bytearray(gzip.compress(tar.ljust(1 << 20, b"\0")))
    padded[-6] ^= 1
    # A broken block in the midst of a batch: the archive is read in pieces of 1 MiB, and the second begins there.
    filled = gzip.decompress(pack(tmp_path / "a.tar.gz", {"filler": bytes(900_000), **content}, "x").read_bytes())
    deflate = zlib.compressobj(wbits=31)
    broken = deflate.compress(filled[: 1 << 20]) + deflate.flush(zlib.Z_FULL_FLUSH) + b"\x07" * 20
    path = tmp_path / "bad.tar.gz"
    for data in (
        good[:middle],
        good[:-4],
        bytes(flipped),
        bytes(unchecked),
        bytes(padded),
        broken,
        tar,
        b"",
        b"hello" * 1000,
        gzip.compress(b"hello" * 1000),
        gzip.compress(tar[: len(tar) // 2]),
    ):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"bad.tar.gz: not a .tar.gz archive, or a truncated or corrupt one"):
            cifar10(path)
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(ValueError, match=r"bad.tar.gz: "):
        cifar10(path)


def test_cifar10_extracts_nothing_from_an_archive(tmp_path, records, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    content = {"../../escaped.txt": b"x", **cifar10_files(records, "bin")}
    check_cifar10(cifar10(pack(tmp_path / "a.tar.gz", content, "..")), records)
    assert os.listdir(home) == []
    assert sorted(os.listdir(tmp_path)) == ["a.tar.gz", "home"]


def test_cifar10_follows_no_link_and_takes_no_batch_twice(tmp_path, records):
    content = cifar10_files(records, "bin")
    linked = {name: data for name, data in content.items() if name != "data_batch_1.bin"}
    path = pack(tmp_path / "a.tar.gz", linked, "x")
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as target, tarfile.open(path) as source:
        link = tarfile.TarInfo("x/data_batch_1.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        target.addfile(link)
        for member in source:
            target.addfile(member, source.extractfile(member) if member.isreg() else None)
    path.write_bytes(tar.getvalue())
    with pytest.raises(ValueError, match="lacks data_batch_1"):
        cifar10(path)
    with pytest.raises(ValueError, match="holds data_batch_2 twice"):
        cifar10(pack(path, content | {"copy/data_batch_2.bin": content["data_batch_2.bin"]}, "x"))
