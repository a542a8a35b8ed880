"""CIFAR-100 from folder, archive and server."""

import importlib
import os

import numpy as np
import pytest

from nerva.datasets import cifar100

from .sources import cifar100_files, extract, md5, pack

# The functions have the names of their modules.
hundred = importlib.import_module("nerva.datasets.cifar100")


def test_cifar100_is_read_from_folder_and_archive(tmp_path, images, monkeypatch):
    folder = extract(tmp_path / "a" / "cifar-100-binary", cifar100_files(images))
    (tmp_path / "b").mkdir()
    archive = pack(tmp_path / "b" / "cifar-100-binary.tar.gz", cifar100_files(images))
    renamed = extract(tmp_path / "renamed", cifar100_files(images))
    monkeypatch.setenv("NERVA_DATA", str(tmp_path / "b"))
    for place in (folder, tmp_path / "a", archive, tmp_path / "b", renamed, None):
        data = cifar100(place, download=False)
        assert (data.name, data.image_shape, len(data.classes)) == ("cifar100", (3, 32, 32), 100)
        for split, name in ((data.train, "train"), (data.test, "test")):
            np.testing.assert_array_equal(split.y, images[name][1])
            np.testing.assert_array_equal(split.X.pixels, images[name][2])
            assert split.y.dtype == np.int64
        red = (images["test"][2][:, :1024] / 255 - 0.5071) / 0.2673
        np.testing.assert_allclose(np.asarray(data.test.X)[:, :1024], red, atol=1e-5)
    data = cifar100(folder, coarse=True)
    np.testing.assert_array_equal(data.train.y, images["train"][0])
    assert len(data.classes) == 20


def test_cifar100_has_the_names_in_order():
    for names, count in ((hundred.FINE, 100), (hundred.COARSE, 20)):
        assert len(names) == len(set(names)) == count
        assert list(names) == sorted(names)


def test_cifar100_is_downloaded_once(tmp_path, images, server, monkeypatch):
    data = pack(tmp_path / "served", cifar100_files(images)).read_bytes()
    server.files["/cifar-100-binary.tar.gz"] = data
    monkeypatch.setattr(hundred, "_URL", server.url)
    with pytest.raises(ValueError, match="is not the official file, so it was not kept"):
        cifar100()
    assert os.listdir(tmp_path / "cache" / "nerva") == []
    monkeypatch.setattr(hundred, "_MD5", md5(data))
    for _ in range(2):
        np.testing.assert_array_equal(cifar100().train.y, images["train"][1])
    assert len(server.requests) == 2
    assert os.listdir(tmp_path / "cache" / "nerva") == ["cifar-100-binary.tar.gz"]
    server.files.clear()
    (tmp_path / "new").mkdir()
    with pytest.raises(ConnectionError, match="404"):
        cifar100(tmp_path / "new")


def test_cifar100_names_what_is_wrong(tmp_path, images):
    files = cifar100_files(images)
    cut, odd = files["test.bin"][:-1], b"\0\x64" + files["train.bin"][2:]
    wrong = [
        ({"test.bin": cut}, "test.bin: expected 33814 bytes, found 33813"),
        ({"train.bin": odd}, "train.bin: expected labels from 0 to 99, found 100 in record 0"),
    ]
    for i, (change, message) in enumerate(wrong):
        with pytest.raises(ValueError, match=message):
            cifar100(extract(tmp_path / f"wrong{i}", files | change))
        with pytest.raises(ValueError, match=message):
            cifar100(pack(tmp_path / f"{i}.tar.gz", files | change))
    with pytest.raises(FileNotFoundError, match=r"test.bin: this batch of CIFAR-100 is missing"):
        cifar100(extract(tmp_path / "half", {"train.bin": files["train.bin"]}))
    with pytest.raises(ValueError, match=r"this archive of CIFAR-100 lacks test.bin"):
        cifar100(pack(tmp_path / "half.tar.gz", {"train.bin": files["train.bin"]}))
    whole = pack(tmp_path / "whole.tar.gz", files).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut.tar.gz: not a .tar.gz archive, or a truncated or corrupt one"):
        cifar100(tmp_path / "cut.tar.gz")
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no CIFAR-100 in .*looked for cifar-100-binary"):
        cifar100(tmp_path / "none", download=False)
    with pytest.raises(TypeError, match="coarse is 1"):
        cifar100(tmp_path, coarse=1)
