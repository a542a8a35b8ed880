"""IDX files."""

import gzip

import numpy as np
import pytest

from nerva.datasets import read_idx

from .sources import idx


@pytest.mark.parametrize(
    ("code", "dtype"), [(8, np.uint8), (9, np.int8), (0xB, np.int16), (0xC, np.int32), (0xD, np.float32), (0xE, float)]
)
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (3, 0)])
def test_idx_is_read_in_every_type(tmp_path, code, dtype, shape):
    array = (np.arange(np.prod(shape)) * 5 - 3).reshape(shape).astype(dtype)
    for name, data in (("a", idx(array, code)), ("b.gz", gzip.compress(idx(array, code)))):
        (tmp_path / name).write_bytes(data)
        found = read_idx(tmp_path / name)
        assert found.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(found, array)


def test_idx_names_what_is_wrong(tmp_path):
    good = idx(np.arange(12, dtype=np.uint8).reshape(3, 4))
    packed = gzip.compress(good)
    for data, message in (
        (b"", "not an IDX file; it begins with nothing"),
        (b"PK\3\4", "not an IDX file; it begins with 50 4b 03 04"),
        (b"\0\0\7\1", "not an IDX file"),
        (b"\0\0\x08\0", "not an IDX file"),
        (good[:9], "the file ends within its header"),
        (good[:-1], "expected 12 bytes after the header, found 11"),
        (good + b"\0", "expected 12 bytes after the header, but there are more"),
        (b"\0\0\x08\3" + b"\xff" * 12, "expected 79228162458924105385300197375 bytes after the header, found 0"),
        (b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"\0", "no array has the shape"),
        (packed[:-9], "a truncated or corrupt .gz file"),
        (packed[:-6] + b"\0\0" + packed[-4:], "a truncated or corrupt .gz file"),
        (packed[:12] + b"\xff" + packed[13:], "a truncated or corrupt .gz file"),
    ):
        (tmp_path / "wrong").write_bytes(data)
        with pytest.raises(ValueError, match=rf"wrong: {message}"):
            read_idx(tmp_path / "wrong")
    with pytest.raises(FileNotFoundError, match="none: there is no such file"):
        read_idx(tmp_path / "none")
    with pytest.raises(ValueError, match="not a file"):
        read_idx(tmp_path)
