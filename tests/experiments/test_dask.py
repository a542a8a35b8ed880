"""Runs on a Dask cluster, a worker of which is killed: nothing is lost, and nothing is done twice."""

import json
import os
import signal

import pytest

from ..cli.running import SMALL, finish, read, start, wait_for
from .dask_cluster import Cluster
from .test_engines import call

pytest.importorskip("distributed")
HERE = os.path.dirname(__file__)


def attempts(folder):
    lines = [json.loads(line) for line in (folder / "attempts.jsonl").read_text().splitlines()]
    return [line for line in lines if "started" in line]


def test_a_worker_that_is_killed_in_mid_run(command, blobs, tmp_path):
    options = ["--data", blobs, *SMALL, "--epochs", 150, "--topology", "rigl", "--update-every", 5]
    out = tmp_path / "runs"
    with Cluster(tmp_path) as cluster:
        engine = ["--engine", "dask", "--scheduler", cluster.address]
        process = start("sweep", *options, "--seed", "1,2,3,4", *engine, "--out", out, cwd=tmp_path)
        first = out / "seed=1" / "metrics.jsonl"
        wait_for(lambda: first.exists() and len(first.read_text().splitlines()) > 3, 120)
        (begun,) = attempts(first.parent)
        (worker,) = [worker for worker in cluster.workers if worker.pid == begun["pid"]]
        os.kill(worker.pid, signal.SIGKILL)
        code, lines, errors = finish(process, 300)
    assert (code, errors) == (0, [])
    assert lines[-1].startswith("4 of 4 runs done")
    again = attempts(first.parent)
    assert len(again) == 2
    assert again[1]["pid"] != worker.pid
    assert all(len(attempts(out / f"seed={seed}")) == 1 for seed in (2, 3, 4))
    for seed in (1, 2):
        plain = tmp_path / f"{seed}.jsonl"
        assert command("train", *options, "--seed", seed, "--metrics", plain)[0] == 0
        wanted = [{**epoch, "seconds": 0} for epoch in read(plain)[1]]
        assert [{**epoch, "seconds": 0} for epoch in read(out / f"seed={seed}" / "metrics.jsonl")[1]] == wanted


def test_a_task_that_no_worker_survives_is_an_error_and_the_others_go_on(tmp_path):
    with Cluster(
        tmp_path, workers=3, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0", PYTHONPATH=with_tasks()
    ) as cluster:
        found = call(tmp_path, "die", {"engine": "dask", "scheduler": cluster.address})
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert found[1][1].startswith("KilledWorker")
    assert found[3][1] == "ValueError: three is refused"
    assert found[4] == (8, None)


def with_tasks():
    return os.pathsep.join([HERE, *filter(None, [os.environ.get("PYTHONPATH")])])


def test_there_is_no_scheduler(tmp_path):
    with pytest.raises(AssertionError, match="OSError: there is no Dask scheduler at tcp://"):
        call(tmp_path, "double", {"engine": "dask", "scheduler": "tcp://127.0.0.1:9"})
