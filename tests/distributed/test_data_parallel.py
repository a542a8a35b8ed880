"""Training on several ranks: as one process trains, the same bits again, and no rank that waits for ever."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest

import nerva
from nerva.distributed import DataParallel

PROGRAM = Path(__file__).parent / "program.py"
SECONDS = 120  # until a test gives up
MPIEXEC = shutil.which("mpiexec", path=sysconfig.get_path("scripts")) or shutil.which("mpiexec")


def start(ranks, *argv, cwd):
    """The program on so many ranks, of one thread each."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [MPIEXEC, "-n", str(ranks), sys.executable, "-P", str(PROGRAM), *map(str, argv)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=cwd, env=environment, **pipes)


def run(ranks, *argv, cwd):
    """What rank 0 prints last, as JSON."""
    with start(ranks, *argv, cwd=cwd) as process:
        out, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """What 2 and 4 ranks found, and 4 ranks again."""
    folder = tmp_path_factory.mktemp("ranks")
    return {name: run(ranks, "cases", cwd=folder) for name, ranks in {"2": 2, "4": 4, "4 again": 4}.items()}


@pytest.mark.parametrize("ranks", ["2", "4"])
def test_ranks_train_as_one_process_does(cases, ranks):
    for case, found in cases[ranks].items():
        if "dropout" in case:  # whose masks are others on each rank
            continue
        assert found["difference"] is not None, f"{case}: other weights exist"
        assert found["difference"] < 1e-9, case
        for name in ("losses", "test", "accuracy", "evaluation"):
            np.testing.assert_allclose(*found[name], rtol=1e-9, err_msg=f"{case}: {name}")


def test_as_many_ranks_have_the_same_bits_again(cases):
    for case, found in cases["4"].items():
        assert found["digest"] == cases["4 again"][case]["digest"], case


def test_all_ranks_have_the_same_weights(cases):
    for found in (*cases["2"].values(), *cases["4"].values()):
        assert len(set(found["digests"])) == 1


def test_masks_of_dropout_are_others_on_each_rank(cases):
    assert cases["2"]["dropout, plain"]["difference"] > 1e-6


def test_what_is_sent_is_of_the_weights_that_exist(cases):
    """Five batches an epoch, of which four ranks compute the last one, of three samples, each alone."""
    for ranks, shared in {"2": 10, "4": 8}.items():
        found = cases[ranks]["plain, plain"]
        assert found["traffic"]["gradients"] == shared * found["values"]
        assert found["traffic"]["figures"] < 100 * (shared + 4)
        assert set(found["traffic"]) == {"gradients", "figures"}
    assert set(cases["2"]["batch norm, RigL"]["traffic"]) == {"gradients", "figures", "statistics", "factors"}


def test_a_killed_rank_ends_the_others_and_the_run_goes_on(tmp_path):
    with start(4, "long", "run", 1_000_000, cwd=tmp_path) as process:
        while not process.stdout.readline().startswith("epoch 3"):
            assert process.poll() is None, process.stderr.read()
        os.kill(rank_of(process), signal.SIGKILL)
        killed = time.monotonic()
        process.communicate(timeout=SECONDS)
    assert process.returncode != 0
    assert time.monotonic() - killed < 10
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    epochs = max(int(path.stem.removeprefix("step-")) for path in (tmp_path / "run").glob("step-*")) // 5 + 2
    ended = [run(2, "long", "run", epochs, cwd=tmp_path), run(1, "long", "copy", epochs, cwd=tmp_path)]
    whole = run(4, "long", "whole", epochs, cwd=tmp_path)
    for found in ended:
        for mine, its in zip(found["parameters"], whole["parameters"], strict=True):
            np.testing.assert_allclose(mine, its, rtol=1e-6, atol=1e-9)


def rank_of(process):
    """The process id of one of the ranks: a descendant of mpiexec that runs the program."""
    parents = {}
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            stat = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            runs = str(PROGRAM).encode() in (folder / "cmdline").read_bytes().split(b"\0")
            parents[int(folder.name)] = int(stat[1]), runs

    def below(pid):
        while pid in parents and pid != process.pid:
            pid = parents[pid][0]
        return pid == process.pid

    return next(pid for pid, (_, runs) in parents.items() if runs and pid != process.pid and below(pid))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("seeds", "the networks of rank 0 and of rank 1 are not the same: give the same seed"),
        ("targets", "the targets of rank 0 and of rank 1 are not the same"),
        ("generators", "the generators of rank 0 and of rank 1 are not the same"),
        ("one ends", "the ranks do not do the same"),
        ("one fails", "OSError: the disk of rank 1 is full"),
    ],
)
def test_what_ranks_do_not_agree_in_ends_all_with_an_error(what, message, tmp_path):
    with start(2, what, cwd=tmp_path) as process:
        _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode != 0
    assert message in errors


def test_one_rank_is_a_plain_network():
    X, y = np.random.default_rng(0).standard_normal((30, 4)), np.arange(30) % 3
    one, other = nerva.MLP([4, 8, 3], density=0.5, seed=1), nerva.MLP([4, 8, 3], density=0.5, seed=1)
    parallel = DataParallel(one, threads=1)
    parallel.fit(X, y, epochs=2, rng=2)
    other.fit(X, y, epochs=2, rng=2)
    assert (parallel.rank, parallel.size, parallel.ranks, parallel.traffic) == (0, 1, None, {})
    for mine, its in zip(one.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(mine.values, its.values)
    assert parallel.evaluate(X, y) == other.evaluate(X, y)


def test_wrong_arguments_are_refused():
    with pytest.raises(TypeError, match=r"model is int; it must be a nerva\.Sequential"):
        DataParallel(3)
    parallel = DataParallel(nerva.MLP([4, 3]))
    with pytest.raises(TypeError, match="y is None"):
        parallel.fit([(np.ones((2, 4)), [0, 1])], None)


def test_without_mpi4py_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=r"needs mpi4py and an MPI library .*nerva-sparse\[mpi\]"):
        DataParallel(nerva.MLP([4, 3]))
