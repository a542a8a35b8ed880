"""What nerva does to the process it runs in: one OpenMP runtime, threads as asked for, forks and threads that work.

Each test runs a small program of its own.
"""

import os
import subprocess
import sys
from textwrap import dedent

import pytest

from nerva._kernels import isa

# `check()` runs every product on both backends, large enough for several threads, and compares with NumPy.
PRELUDE = """
import os, sys, threading, time
import numpy as np
from nerva._kernels import mkl, products
from nerva._kernels.csr import CSR

rng = np.random.default_rng(0)
dense = np.where(rng.random((300, 400)) < 0.3, rng.standard_normal((300, 400)), 0)
X, DY = rng.standard_normal((400, 100)), rng.standard_normal((300, 100))
W = CSR.from_dense(dense)
WX, WDY, DYX = dense @ X, dense.T @ DY, DY @ X.T

def check(W=W):
    for backend in products.BACKENDS:
        Y, DX = np.empty((300, 100)), np.empty((400, 100))
        products.spmm(W, X, Y, backend=backend)
        products.spmm_t(W, DY, DX, backend)
        assert np.allclose(Y, WX) and np.allclose(DX, WDY), backend
    gradient, out = np.empty(W.nnz), np.empty((300, 400))
    products.sddmm(W, DY, X, gradient)
    products.gemm(DY, X, out, transpose_b=True)
    assert np.allclose(gradient, DYX[dense != 0]) and np.allclose(out, DYX)

def libraries(*names):
    with open("/proc/self/maps") as maps:
        paths = {line.split(maxsplit=5)[-1].strip() for line in maps if "/" in line}
    return sorted(path for path in paths if any(name in path.rsplit("/")[-1] for name in names))

def wait(child, seconds=30):
    for _ in range(seconds * 100):
        if (done := os.waitpid(child, os.WNOHANG)) != (0, 0):
            return os.waitstatus_to_exitcode(done[1])
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    sys.exit("the child hangs")
"""


def run(program, tmp_path, **environment):
    """What the program prints; it fails where the program does."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "MKL_", "KMP_"))}
    variables.pop("NERVA_ISA", None)
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + dedent(program)],
        env=variables | environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout.split()


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"MKL_THREADING_LAYER": "GNU"},
        {"MKL_THREADING_LAYER": "SEQUENTIAL"},
        {"MKL_THREADING_LAYER": "TBB"},
        {"MKL_INTERFACE_LAYER": "ILP64"},
        {"MKL_INTERFACE_LAYER": "GNU,ILP64", "MKL_THREADING_LAYER": "GNU"},
    ],
    ids=str,
)
def test_there_is_one_openmp_runtime(tmp_path, environment):
    program = """
        mkl.set_num_threads(2)
        check()
        print(*(path.rsplit("/")[-1] for path in libraries("omp", "mkl_gnu_thread", "mkl_tbb", "mkl_sequential")))
        """
    assert run(program, tmp_path, **environment) == ["libiomp5.so"]


@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_omp_num_threads_is_honoured(tmp_path, threads):
    assert run("check(); print(mkl.get_num_threads())", tmp_path, OMP_NUM_THREADS=threads) == [threads]


@pytest.mark.parametrize("environment", [{}, {"MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "2"}], ids=str)
def test_threads_are_set_and_seen(tmp_path, environment):
    run(
        """
        import nerva
        from threadpoolctl import threadpool_info, threadpool_limits

        def seen(api):
            pools = (pool for pool in threadpool_info() if api in (pool["user_api"], pool["internal_api"]))
            return [pool["num_threads"] for pool in pools]

        for threads in (2, 1, 3):
            nerva.set_num_threads(threads)
            check()
            assert nerva.get_num_threads() == mkl.get_num_threads() == threads
            # MKL takes no more than there are cores.
            assert seen("openmp") == [threads] and seen("mkl") == [min(threads, os.cpu_count())], threadpool_info()
        with threadpool_limits(1):
            assert nerva.get_num_threads() == 1
            check()
        assert nerva.get_num_threads() == 3
        with threadpool_limits(1, user_api="openmp"):
            assert nerva.get_num_threads() == 1
        assert nerva.get_num_threads() == 3
        for impossible in (0, -1):
            try:
                nerva.set_num_threads(impossible)
            except ValueError as error:
                assert str(impossible) in str(error)
            else:
                sys.exit("accepted")
        assert nerva.get_num_threads() == 3
        """,
        tmp_path,
        **environment,
    )


@pytest.mark.parametrize("name", isa.supported())
def test_the_instruction_set_can_be_forced(tmp_path, name):
    program = "from nerva._kernels import isa; check(); print(isa.chosen())"
    assert run(program, tmp_path, NERVA_ISA=name) == [name]
    assert run(program, tmp_path, NERVA_ISA="") == [isa.supported()[0]]


@pytest.mark.parametrize("name", ["bogus", "AVX2", "sse2"])
def test_an_unknown_instruction_set_is_refused(tmp_path, name):
    done = subprocess.run(
        [sys.executable, "-c", "import nerva"],
        env=os.environ | {"NERVA_ISA": name},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"ValueError: NERVA_ISA is '{name}'; it must be 'avx2' or 'avx512'" in done.stderr


@pytest.mark.parametrize("ran_before", [True, False], ids=["after kernels", "before kernels"])
def test_a_forked_child_computes(tmp_path, ran_before):
    run(
        f"""
        mkl.set_num_threads(2)
        if {ran_before}:
            check()
        for _ in range(3):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    check()
                    check(W.copy())
                    code = 0
                finally:
                    os._exit(code)
            assert wait(child) == 0
            check()
        """,
        tmp_path,
    )


def test_a_forked_process_of_multiprocessing_computes(tmp_path):
    run(
        """
        import multiprocessing
        mkl.set_num_threads(2)
        check()
        children = [multiprocessing.get_context("fork").Process(target=check) for _ in range(2)]
        for child in children:
            child.start()
        for child in children:
            child.join(30)
            hangs = child.is_alive()
            child.kill()
            assert not hangs and child.exitcode == 0, (hangs, child.exitcode)
        """,
        tmp_path,
    )


IN_THREADS = """
def in_threads(work, count=3):
    failures, together = [], threading.Barrier(count)

    def one():
        try:
            together.wait()
            work()
        except BaseException as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        if thread.is_alive():
            failures.append("hangs")
    if failures:
        print(failures, file=sys.stderr, flush=True)
        os._exit(1)
"""


def test_kernels_run_in_python_threads(tmp_path):
    run(
        IN_THREADS
        + dedent("""
        mkl.set_num_threads(2)
        in_threads(check, 1)
        in_threads(lambda: check(W.copy()))
        check()
        in_threads(lambda: [check() for _ in range(5)])
        """),
        tmp_path,
    )


@pytest.mark.parametrize("optimized", [False, True])
@pytest.mark.parametrize("backend", ["native", "mkl", "dense"])
def test_threads_may_share_a_fresh_matrix(tmp_path, backend, optimized):
    """The companion and the handles are made when first asked for: by several threads at once, here."""
    run(
        IN_THREADS
        + dedent(f"""
        mask = rng.random((2500, 2500)) < 0.05
        dense = np.where(mask, rng.standard_normal(mask.shape), 0)
        original, DY = CSR.from_dense(dense), rng.standard_normal((2500, 8))
        WDY, WX = dense.T @ DY, dense @ DY
        mkl.set_num_threads(1)
        for turn in range(25):
            W = original.copy()
            if {optimized}:
                W.optimize(8)

            def work():
                for _ in range(2):
                    DX, Y = np.full_like(WDY, np.nan), np.full_like(WX, np.nan)
                    products.spmm_t(W, DY, DX, "{backend}")
                    products.spmm(W, DY, Y, backend="{backend}")
                    assert np.allclose(DX, WDY) and np.allclose(Y, WX)

            in_threads(work)
        """),
        tmp_path,
    )
