"""Memory: a million-wide layer is built and trained where its dense weights would take 4 TB."""

import json
import subprocess
import sys

import pytest

GIB = 2**30

PROGRAM = """
import json, resource, sys
import numpy as np
import nerva

def step(layer, N):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((layer.in_features, N), dtype=np.float32)
    y = rng.integers(layer.out_features, size=N)
    optimizer, loss = nerva.Nesterov(), nerva.SoftmaxCrossEntropy()
    losses = []
    for _ in range(2):
        result = loss(layer.forward(X), y)
        layer.backward(result.gradient)
        optimizer.step(layer.parameters(), 1.0)
        losses.append(result.value)
    return losses

backend, room = sys.argv[1], int(sys.argv[2])
step(nerva.SparseLinear(300, 300, density=0.5, backend=backend), 16)  # maps what MKL, OpenMP and NumPy map
with open("/proc/self/statm") as statm:
    mapped = int(statm.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped + room, mapped + room))
layer = nerva.SparseLinear(1_000_000, 1_000_000, density=1e-5, rng=0, backend=backend)
losses = step(layer, 16)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"nnz": layer.nnz, "nbytes": layer.nbytes, "peak": peak, "mapped": mapped, "losses": losses}))
"""


def train(backend, room, folder):
    """Run the program in a process of its own with so many bytes of address space left."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM, backend, str(room)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit and the maps are those of Linux")
@pytest.mark.parametrize("backend", ["native", "mkl"])
def test_a_million_wide_layer_trains_in_two_gib(backend, tmp_path):
    done = train(backend, 2 * GIB, tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(f"{backend}: peak of resident memory {found['peak'] / GIB:.2f} GiB, held {found['nbytes'] / GIB:.2f} GiB")
    assert found["nnz"] == 10_000_000
    assert found["peak"] < 2 * GIB
    # Values, gradients, velocities, indices and the companion: four bytes each, and five to six for each weight.
    assert 20 * found["nnz"] < found["nbytes"] < 32 * found["nnz"]
    first, last = found["losses"]
    assert last < first == pytest.approx(13.8, abs=0.5)  # the logarithm of a million classes


TRAINING = """
import json, resource
import numpy as np
import nerva
from nerva._kernels.memory import empty_batch
from nerva.training.step import train_batch

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()

def train(model):
    X, y = empty_batch(model.in_features, 4, np.float32), np.arange(4)
    X[:] = np.random.default_rng(0).standard_normal(X.shape)
    for _ in range(3):
        train_batch(model, X, y, nerva.Nesterov(), 0.01, nerva.SoftmaxCrossEntropy())

train(nerva.MLP([300, 300, 10], density=0.5))  # maps what MKL, OpenMP and NumPy map
before = resident()
model = nerva.MLP([16384, 16384, 16384, 10], density=0.01, seed=0)
train(model)
print(json.dumps({"nnz": model.nnz, "nbytes": model.nbytes, "grown": resident() - before, "text": model.summary()}))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read as on Linux")
def test_a_weight_takes_24_bytes_at_most(tmp_path):
    command = [sys.executable, "-W", "error", "-c", TRAINING]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)
    found = json.loads(done.stdout)
    print(
        f"{found['nbytes'] / found['nnz']:.1f} bytes a weight held, {found['grown'] / found['nnz']:.1f} by the process"
    )
    assert found["nnz"] > 5_000_000
    assert found["nbytes"] <= 24 * found["nnz"]
    assert found["text"].splitlines()[-3].endswith(f" {found['nbytes'] / found['nnz']:.1f}")
    # Beside them the process holds the buffers of a batch, some megabytes.
    assert found["nbytes"] <= found["grown"] <= found["nbytes"] + 2**24


COMPILED = """
import json, resource
import numpy as np
import nerva

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()

def train(sizes):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((100, sizes[0]), dtype=np.float32), rng.integers(0, sizes[-1], 100)
    model, optimizer = nerva.MLP(sizes, density=0.01, seed=0), nerva.Nesterov(0.9)
    for _ in range(3):
        model.train_step(X, y, optimizer, 0.01)
    return model

train((64, 64, 64))
before = resident()
model = train((8192, 8192, 8192))
mapped = open("/proc/self/maps").read()
print(json.dumps({"nnz": model.nnz, "nbytes": model.nbytes, "grown": resident() - before, "MKL": "mkl_core" in mapped}))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read as on Linux")
def test_a_compiled_step_takes_27_bytes_a_weight_at_most_with_its_batch(tmp_path):
    """A sixtieth of what masked PyTorch takes: 16 bytes for each of the dense weights, 1,600 for each that is live."""
    command = [sys.executable, "-W", "error", "-c", COMPILED]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)
    found = json.loads(done.stdout)
    print(f"{found['grown'] / found['nnz']:.1f} bytes a weight by the process")
    assert found["nbytes"] < found["grown"] <= 27 * found["nnz"]
    assert not found["MKL"]  # whose libraries would take 9 MB


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit and the maps are those of Linux")
def test_the_limit_is_felt(tmp_path):
    done = train("native", GIB // 8, tmp_path)
    assert done.returncode != 0
    assert "MemoryError" in done.stderr
