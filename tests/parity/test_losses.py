"""Losses beside those of PyTorch: values and gradients, with all that both can be told."""

import numpy as np
import pytest
from scipy.special import log_softmax

import nerva

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

K, N = 7, 30
RNG = np.random.default_rng(0)
LABELS, ROWS = RNG.integers(0, K, N), RNG.dirichlet(np.ones(K), N)
SIGNS, REAL = RNG.integers(0, 2, (N, K)), RNG.standard_normal((N, K))
WEIGHTS = np.append(RNG.random(K - 1), 0.0)

# name: (ours, theirs, targets, the factor between means over samples and over all numbers)
PAIRS = {
    "softmax": (nerva.SoftmaxCrossEntropy(), nn.CrossEntropyLoss(), LABELS, 1),
    "softmax of rows": (nerva.SoftmaxCrossEntropy(), nn.CrossEntropyLoss(), ROWS, 1),
    "smoothed": (nerva.SoftmaxCrossEntropy(label_smoothing=0.2), nn.CrossEntropyLoss(label_smoothing=0.2), LABELS, 1),
    "smoothed rows": (
        nerva.SoftmaxCrossEntropy(label_smoothing=0.2),
        nn.CrossEntropyLoss(label_smoothing=0.2),
        ROWS,
        1,
    ),
    "weighted": (
        nerva.SoftmaxCrossEntropy(class_weights=WEIGHTS),
        nn.CrossEntropyLoss(weight=torch.from_numpy(WEIGHTS)),
        LABELS,
        1,
    ),
    "weighted rows": (
        nerva.SoftmaxCrossEntropy(class_weights=WEIGHTS),
        nn.CrossEntropyLoss(weight=torch.from_numpy(WEIGHTS)),
        ROWS,
        1,
    ),
    "smoothed and weighted": (
        nerva.SoftmaxCrossEntropy(class_weights=WEIGHTS, label_smoothing=0.2),
        nn.CrossEntropyLoss(weight=torch.from_numpy(WEIGHTS), label_smoothing=0.2),
        LABELS,
        1,
    ),
    "likelihood": (nerva.NegativeLogLikelihood(), nn.NLLLoss(), LABELS, 1),
    "logistic": (nerva.LogisticCrossEntropy(), nn.BCEWithLogitsLoss(), SIGNS, K),
    "logistic weighted": (
        nerva.LogisticCrossEntropy(positive_weights=WEIGHTS),
        nn.BCEWithLogitsLoss(pos_weight=torch.from_numpy(WEIGHTS)),
        ROWS,
        K,
    ),
    "squared": (nerva.SquaredError(), nn.MSELoss(), REAL, K),
    "mean squared": (nerva.MeanSquaredError(), nn.MSELoss(), REAL, 1),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PAIRS)
def test_value_and_gradient(name, dtype):
    ours, theirs, targets, factor = PAIRS[name]
    Z = np.random.default_rng(1).standard_normal((K, N))
    Z = (log_softmax(Z, axis=0) if name == "likelihood" else Z).astype(dtype)
    z = torch.from_numpy(Z.T.astype(np.float64)).requires_grad_()
    y = torch.from_numpy(targets)
    loss = factor * theirs(z, y if targets is LABELS else y.double())
    loss.backward()
    value, gradient, _, _ = ours(Z, ours.check_targets(targets, N, K))
    tolerance = 2e-6 if dtype == np.float32 else 1e-12
    assert value == pytest.approx(loss.item(), rel=tolerance)
    np.testing.assert_allclose(gradient, z.grad.numpy().T, rtol=tolerance, atol=tolerance / 10)
