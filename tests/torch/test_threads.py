"""One pool of threads for nerva and PyTorch, in whichever order they are imported."""

import os
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("torch", exc_type=ImportError)

ORDERS = {"import nerva, torch": "libiomp5", "import torch, nerva": "libgomp"}
STEERING = ("OMP_", "MKL_", "KMP_", "LD_PRELOAD")


def run(imports, program, tmp_path):
    """Run a program with two threads, and return the words that it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(STEERING)}
    done = subprocess.run(
        [sys.executable, "-c", f"{imports}\n{textwrap.dedent(program)}"],
        cwd=tmp_path,
        env=environment | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("imports", ORDERS)
def test_the_runtime_of_the_process_is_used(imports, tmp_path):
    (found,) = run(imports, 'print(nerva.config()["OpenMP runtime"])', tmp_path)
    assert os.path.basename(found).startswith(ORDERS[imports])


@pytest.mark.parametrize("imports", ORDERS)
def test_pytorch_and_nerva_share_their_threads(imports, tmp_path):
    program = """
        import os
        import numpy as np

        def started():
            return len(os.listdir("/proc/self/task"))

        X, Y = np.ones((500, 200), np.float32), torch.ones(1000, 1000)
        layer = nerva.SparseLinear(500, 400, density=0.5)
        (Y * 2).sum()  # a loop that PyTorch shares among its threads
        before = started()
        layer.forward(X)
        print(started() - before)
        """
    assert run(imports, program, tmp_path) == ["0"]


@pytest.mark.parametrize("imports", ORDERS)
def test_the_kernels_work_in_a_child_of_fork(imports, tmp_path):
    program = """
        import os, warnings
        import numpy as np

        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
        nerva.set_num_threads(2)
        X, layer = np.ones((500, 200), np.float32), nerva.SparseLinear(500, 400, density=0.5, backend="native")
        wanted = layer.forward(X).copy()
        child = os.fork()
        if child == 0:
            os._exit(0 if np.array_equal(layer.forward(X), wanted) else 1)
        print(os.waitpid(child, 0)[1], np.array_equal(layer.forward(X), wanted))
        """
    assert run(imports, program, tmp_path) == ["0", "True"]
