"""The best weights of a run in a file."""

import pytest

import nerva
from nerva.callbacks import BestCheckpoint

from ..training_reference import network, samples

VALIDATION = samples(60, seed=9)


def train(*callbacks, model=None, **settings):
    model = network() if model is None else model
    made = {"validation": VALIDATION, "rng": 3, "schedule": 0.2, "batch_size": 20, "epochs": 12, **settings}
    return model, model.fit(*samples(), callbacks=callbacks, **made)


@pytest.mark.parametrize(("monitor", "best_of"), [("test_loss", min), ("test_accuracy", max)])
def test_the_file_holds_the_weights_of_the_best_epoch(tmp_path, monitor, best_of):
    best = BestCheckpoint(tmp_path / "best.npz", monitor)
    _, history = train(best, topology=nerva.RigL(every=3), rng=5)
    assert best.best == best_of(history[monitor])
    assert best.best_epoch < len(history)
    found = nerva.load_weights(tmp_path / "best.npz").evaluate(*VALIDATION)
    assert (found.loss if monitor == "test_loss" else found.accuracy) == pytest.approx(best.best, rel=1e-5)
    assert history[monitor][best.best_epoch - 1] == best.best
    assert [path.name for path in tmp_path.iterdir()] == ["best.npz"]


def test_a_resumed_run_does_not_replace_a_better_file(tmp_path):
    best = BestCheckpoint(tmp_path / "best.npz")
    train(best, checkpoint=tmp_path / "run")
    written = (tmp_path / "best.npz").read_bytes()
    again = BestCheckpoint(tmp_path / "best.npz")
    train(again, checkpoint=tmp_path / "run", resume=True, epochs=14)
    assert again.best_epoch == best.best_epoch
    assert (tmp_path / "best.npz").read_bytes() == written


def test_what_cannot_be_written_is_refused_before_the_first_step(tmp_path):
    class Own(nerva.layers.Layer):
        def forward(self, X, *, training=True):
            return X

        def backward(self, DY, *, input_gradient=True):
            return DY

        def astype(self, dtype):
            return self

    model = nerva.Sequential([nerva.Linear(12, 4), Own()])
    with pytest.raises(TypeError, match=r"model.layers\[1\] is Own; it must be one of nerva's own layers"):
        train(BestCheckpoint(tmp_path / "best.npz"), model=model)
    with pytest.raises(OSError, match=r"missing/best.npz: cannot be written"):
        train(BestCheckpoint(tmp_path / "missing" / "best.npz"))
    with pytest.raises(ValueError, match="BestCheckpoint monitors test_loss, but fit has no validation data"):
        train(BestCheckpoint(tmp_path / "best.npz"), validation=None)
    assert list(tmp_path.iterdir()) == []
