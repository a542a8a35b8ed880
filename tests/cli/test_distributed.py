"""`nerva train --distributed`: one rank prints and writes, all end together."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig

import pytest

from .running import SMALL, finish, start

MPIEXEC = shutil.which("mpiexec", path=sysconfig.get_path("scripts")) or shutil.which("mpiexec")
TRAIN = ["train", "--distributed", "--epochs", "2", *SMALL, "--batch-norm", "--dtype", "float64"]


def on_ranks(count, *argv, cwd):
    """(exit code, output, errors) of the command on so many ranks."""
    command = [MPIEXEC, "-n", str(count), sys.executable, "-P", "-m", "nerva", *map(str, argv)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


def accuracies(lines):
    """The last test accuracy that the command printed."""
    return [line for line in lines if line.startswith("test accuracy")]


def test_ranks_print_once_and_find_what_one_finds(tmp_path):
    alone = on_ranks(1, *TRAIN, "--metrics", "one.jsonl", cwd=tmp_path)
    code, out, errors = on_ranks(3, *TRAIN, "--metrics", "three.jsonl", "--save-weights", "m.npz", cwd=tmp_path)
    assert (code, alone[0]) == (0, 0), errors
    assert accuracies(out) == accuracies(alone[1])
    assert len(accuracies(out)) == 1
    assert "1 rank: mpiexec -n N starts N" in alone[1]
    assert any(line.startswith("3 ranks; bytes that each sent in a step: ") for line in out)
    one, three = (
        [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        for name in ("one.jsonl", "three.jsonl")
    )
    assert len(one) == len(three) == 3
    assert three[-1]["loss"] == pytest.approx(one[-1]["loss"], rel=1e-9)
    assert (tmp_path / "m.npz").exists()


def test_a_run_goes_on_with_other_ranks(tmp_path):
    argv = [*TRAIN, "--checkpoint", "c"]
    assert on_ranks(2, *argv, cwd=tmp_path)[0] == 0
    argv[3] = "4"
    code, out, errors = on_ranks(3, *argv, "--resume", cwd=tmp_path)
    assert code == 0, errors
    argv[-1] = "whole"
    assert accuracies(out) == accuracies(on_ranks(1, *argv, cwd=tmp_path)[1])


def test_what_fails_on_all_is_told_and_ends_all(tmp_path):
    (tmp_path / "taken").mkdir()
    code, _, errors = on_ranks(2, *TRAIN, "--save-weights", "taken/no/m.npz", cwd=tmp_path)
    assert code != 0
    assert any("taken/no" in line for line in errors)


def test_bfloat16_is_refused(tmp_path):
    argv = [argument for argument in TRAIN if argument not in ("--dtype", "float64")]
    code, _, errors = on_ranks(2, *argv, "--precision", "bfloat16", cwd=tmp_path)
    assert code != 0
    assert any("bfloat16" in line for line in errors)


def test_without_mpi4py_the_extra_is_named(tmp_path):
    (tmp_path / "mpi4py.py").write_text("raise ImportError('none')")
    environment = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    code, _, errors = finish(start(*TRAIN, cwd=tmp_path, env=environment))
    assert code == 2
    assert "nerva-sparse[mpi]" in errors[-1]
