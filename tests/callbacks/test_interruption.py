"""A signal is deferred to the end of a batch or epoch; a second one is not."""

import signal

import numpy as np
import pytest

import nerva
from nerva.callbacks import DeferredInterrupt
from nerva.system.signals import handling


def test_a_second_signal_is_not_deferred():
    deferred = DeferredInterrupt()
    deferred.on_batch(1, 2)
    deferred(None, None)
    deferred.hold(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        deferred.hold(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        deferred.on_batch(2, 2)
    with pytest.raises(KeyboardInterrupt):
        deferred(None, None)


def test_the_batch_is_completed_first():
    deferred, seen, model = DeferredInterrupt(), [], nerva.MLP([4, 3])

    class Signal:
        def on_batch(self, batch, batches):
            if batch == 2:
                signal.raise_signal(signal.SIGTERM)
            seen.append(batch)

        def __call__(self, model, record):
            pass

    with handling(deferred.hold), pytest.raises(KeyboardInterrupt) as ended:
        model.fit(np.zeros((40, 4)), [0] * 40, batch_size=10, callbacks=[Signal(), deferred])
    assert ended.value.args == (signal.SIGTERM,)
    assert seen == [1, 2]
