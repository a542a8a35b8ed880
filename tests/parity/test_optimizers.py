"""Optimizers, clipping and schedules beside those of PyTorch, on the same gradients."""

import numpy as np
import pytest

import nerva
from nerva.optimizers import clip_norm

torch = pytest.importorskip("torch")

PAIRS = {
    "sgd": (lambda: nerva.SGD(weight_decay=0.1), lambda p: torch.optim.SGD(p, 0.1, weight_decay=0.1)),
    "rmsprop": (
        lambda: nerva.RMSprop(alpha=0.9, weight_decay=0.1),
        lambda p: torch.optim.RMSprop(p, 0.1, alpha=0.9, weight_decay=0.1),
    ),
    "rmsprop with momentum": (
        lambda: nerva.RMSprop(momentum=0.8),
        lambda p: torch.optim.RMSprop(p, 0.1, momentum=0.8),
    ),
    "adam": (lambda: nerva.Adam(), lambda p: torch.optim.Adam(p, 0.1)),
    "adam with decay": (
        lambda: nerva.Adam(beta1=0.8, beta2=0.95, epsilon=1e-4, weight_decay=0.1),
        lambda p: torch.optim.Adam(p, 0.1, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1),
    ),
    "adamw": (lambda: nerva.AdamW(weight_decay=0.1), lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.1)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PAIRS)
def test_twenty_steps(name, dtype):
    rng = np.random.default_rng(0)
    mine = nerva.Parameter("w", rng.standard_normal(100).astype(dtype))
    theirs = torch.nn.Parameter(torch.from_numpy(mine.values.copy()))
    ours, peer = PAIRS[name][0](), PAIRS[name][1]([theirs])
    for step in range(20):
        gradient = rng.standard_normal(100).astype(dtype)
        rate = 0.1 / (1 + step)
        peer.param_groups[0]["lr"] = rate
        mine.gradient[:], theirs.grad = gradient, torch.from_numpy(gradient.copy())
        ours.step([mine], rate)
        peer.step()
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(mine.values, theirs.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clipping_by_value(dtype):
    rng = np.random.default_rng(0)
    mine = nerva.Parameter("w", rng.standard_normal(100).astype(dtype))
    theirs = torch.nn.Parameter(torch.from_numpy(mine.values.copy()))
    ours, peer = nerva.Adam(clip_value=0.3), torch.optim.Adam([theirs], 0.1)
    for _ in range(20):
        gradient = rng.standard_normal(100).astype(dtype)
        mine.gradient[:], theirs.grad = gradient, torch.from_numpy(gradient.copy())
        torch.nn.utils.clip_grad_value_([theirs], 0.3)
        ours.step([mine], 0.1)
        peer.step()
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(mine.values, theirs.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_clipping_a_norm_that_is_not_finite(bad):
    mine, theirs = nerva.Parameter("w", np.zeros(3)), torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    mine.gradient[:] = [bad, 1.0, -2.0]
    theirs.grad = torch.from_numpy(mine.gradient.copy())
    clip_norm([mine], 1.0)
    torch.nn.utils.clip_grad_norm_([theirs], 1.0)
    np.testing.assert_array_equal(mine.gradient, theirs.grad.numpy())


@pytest.mark.parametrize("largest", [0.5, 100.0])
def test_clipping_by_norm(largest):
    rng = np.random.default_rng(0)
    mine = [nerva.Parameter("w", np.zeros(n)) for n in (5, 7)]
    theirs = [torch.nn.Parameter(torch.zeros(n, dtype=torch.float64)) for n in (5, 7)]
    for a, b in zip(mine, theirs, strict=True):
        a.gradient[:] = rng.standard_normal(a.values.size)
        b.grad = torch.from_numpy(a.gradient.copy())
    assert clip_norm(mine, largest) == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs, largest).item())
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a.gradient, b.grad.numpy(), rtol=1e-12)


SCHEDULES = {
    "exponential": (
        nerva.Exponential(0.1, -np.log(0.9)),
        lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
    ),
    "step": (nerva.StepDecay(0.1, 0.3, 4), lambda o: torch.optim.lr_scheduler.StepLR(o, 4, 0.3)),
    "cosine": (nerva.Cosine(0.1, 25), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 25)),
    "restarts": (
        nerva.Cosine(0.1, 5, growth=2),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 5, 2),
    ),
    "one cycle": (
        nerva.OneCycle(0.1, 24, rise=6.5 / 24, start=25, end=25e4),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=25, pct_start=0.3),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name):
    ours, make = SCHEDULES[name]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)
    theirs = make(optimizer)
    for epoch in range(24):
        rate = optimizer.param_groups[0]["lr"]
        assert ours(float(epoch)) == pytest.approx(rate, rel=1e-6, abs=1e-9)
        optimizer.step()
        theirs.step()


def test_reduce_on_plateau():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2, cooldown=1)
    ours = nerva.ReduceOnPlateau(0.1, factor=0.5, patience=2, cooldown=1)
    for loss in np.random.default_rng(0).random(60):
        theirs.step(loss)
        ours.observe(loss)
        assert ours(0.0) == pytest.approx(optimizer.param_groups[0]["lr"])
