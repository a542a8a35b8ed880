"""The option --precision, and what `nerva info` says of it."""

import numpy as np
import pytest

import nerva
from nerva._kernels import isa

from ..bfloat16_reference import needs_bfloat16
from ..compiled_reference import counted
from .running import SMALL, assert_refused, finish, start


@needs_bfloat16
def test_it_is_trained_in_bfloat16(command, blobs, tmp_path):
    argv = ["train", "--data", blobs, *SMALL, "--epochs", 8, "--precision", "bfloat16"]
    with counted() as steps:
        code, out, errors = command(*argv, "--save-weights", tmp_path / "w.npz")
    assert (code, errors) == (0, [])
    assert steps.train == 8 * -(-250 // 32)
    assert any(line.startswith("machine") and "float32, activations bfloat16, seed" in line for line in out)
    assert any(line.startswith("float32, activations bfloat16; dense it would have") for line in out)
    model = nerva.load_weights(tmp_path / "w.npz")
    assert model.precision == "bfloat16"
    with np.load(blobs) as data:
        assert model.evaluate(data["Xtest"], data["Ttest"]).accuracy > 0.9


@needs_bfloat16
def test_metrics_have_it(metrics_of):
    assert metrics_of("--precision", "bfloat16")[0]["precision"] == "bfloat16"
    assert metrics_of("--overwrite")[0]["precision"] is None


REFUSED = [
    (["--precision", "float16"], "--precision: invalid choice: 'float16'"),
    (["--precision", "float32", "--dtype", "float64"], "--precision float32: not with --dtype float64"),
    (["--precision", "bfloat16", "--dtype", "float64"], "--precision bfloat16: not with --dtype float64"),
]


@pytest.mark.parametrize(("argv", "complaint"), REFUSED, ids=lambda value: " ".join(value))
def test_what_does_not_go_together_is_one_line_and_code_2(command, argv, complaint):
    assert_refused(command("train", *argv), argv, complaint)


@needs_bfloat16
def test_what_cannot_be_compiled_is_refused(command, blobs):
    code, _, errors = command("train", "--data", blobs, *SMALL, "--precision", "bfloat16", "--backend", "mkl")
    assert (code, len(errors)) == (2, 1)
    assert errors == ["nerva: --precision bfloat16: not with layer 0, whose backend is mkl"]


@needs_bfloat16
def test_other_losses_and_clipping_are_compiled(command, blobs):
    argv = ["--precision", "bfloat16", "--label-smoothing", "0.1", "--clip-norm", "1"]
    with counted() as steps:
        code, _, errors = command("train", "--data", blobs, *SMALL, *argv)
    assert (code, errors) == (0, [])
    assert steps.train > 0


def test_without_avx512_it_is_refused(tmp_path):
    argv = ["train", "--precision", "bfloat16"]
    result = finish(start(*argv, cwd=tmp_path, env={"NERVA_ISA": "avx2"}))
    assert_refused(result, argv, "nerva train: --precision bfloat16: needs AVX")


def test_info_says_whether_it_is_there():
    before, lacking = isa.chosen(), isa.lacking_for_bfloat16()
    assert nerva.config()["bfloat16"] == ("yes" if lacking is None else f"no: it needs {lacking}")
    isa.choose("avx2")
    try:
        assert nerva.config()["bfloat16"].startswith("no: it needs AVX")
    finally:
        isa.choose(before)
