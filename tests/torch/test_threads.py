"""One pool of threads for nerva and PyTorch, in whichever order they are imported."""

import os
import textwrap

import pytest

from ..beside_pytorch import run

pytest.importorskip("torch", exc_type=ImportError)

ORDERS = {"import nerva, torch": "libiomp5", "import torch, nerva": "libgomp"}


def run_after(imports, program, tmp_path):
    """Run a program after these imports, and return the words that it prints."""
    return run(f"{imports}\n{textwrap.dedent(program)}", tmp_path)


@pytest.mark.parametrize("imports", ORDERS)
def test_the_runtime_of_the_process_is_used(imports, tmp_path):
    (found,) = run_after(imports, 'print(nerva.config()["OpenMP runtime"])', tmp_path)
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
    assert run_after(imports, program, tmp_path) == ["0"]


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
    assert run_after(imports, program, tmp_path) == ["0", "True"]
