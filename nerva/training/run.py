"""A training run as an object: where it is, and all that the rest of it depends on."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from time import perf_counter
from typing import Any, Literal, get_args

import numpy as np

from nerva.losses import Loss
from nerva.optimizers import Optimizer
from nerva.parameters import Parameter
from nerva.schedules import Schedule, as_schedule, tell
from nerva.topology import Topology, TopologyUpdater
from nerva.training.batches import Batches, check_batch_size
from nerva.training.checkpoints import Checkpoints
from nerva.training.compiled import check_bfloat16
from nerva.training.evaluation import Evaluator
from nerva.training.history import Callback, Diverged, EpochRecord, History, StopTraining
from nerva.training.labels import Classes
from nerva.training.layers_state import adopt
from nerva.training.moments import Moments
from nerva.training.run_state import restore_run, run_state, settings_of
from nerva.training.step import StepResult, check_optimizer, train_draw
from nerva.training.trainable import Trainable
from nerva.validation import check_choice, check_integer, check_not_negative

WhenDiverged = Literal["raise", "warn"]


class Run:
    """A training run: `fit` makes one of its arguments and trains it to the end.

    Parameters
    ----------
    model : a Trainable
    batches : of the training data, in an order drawn by `batches.rng`, which the topology draws from too
    loss : becomes the model's own
    epochs, optimizer, schedule, topology, callbacks, initial_epoch, diverged : as of `fit`
    display : is called before the callbacks; None for none
    validation : evaluates the model after every epoch; None does not
    checkpoints : a folder, entered, that the state goes to; None for none
    classes : the names of the classes, where the labels are names; they become the model's own

    `current_epoch` counts the epochs done, `history` holds their records, `rate` is that of the last step, and
    `stopped` tells whether a callback has ended the run. Raises TypeError or ValueError, which names the argument that
    is wrong, before anything is changed.
    """

    def __init__(
        self,
        model: Trainable,
        batches: Batches,
        loss: Loss,
        *,
        epochs: int = 10,
        optimizer: Optimizer | None = None,
        schedule: float | Schedule | None = None,
        validation: Evaluator | None = None,
        topology: Topology | None = None,
        callbacks: Iterable[Callback] = (),
        display: Callback | None = None,
        initial_epoch: int = 0,
        checkpoints: Checkpoints | None = None,
        classes: Classes = None,
        diverged: WhenDiverged = "raise",
    ) -> None:
        initial_epoch = check_integer(initial_epoch, "initial_epoch", least=0)
        self.epochs = initial_epoch + check_integer(epochs, "epochs", least=1)
        self.optimizer = check_optimizer(optimizer)
        rate = getattr(self.optimizer, "default_rate", Optimizer.default_rate)
        self.schedule = as_schedule(rate if schedule is None else schedule)
        self.diverged = check_choice(diverged, "diverged", get_args(WhenDiverged))
        self._moments = Moments(callbacks, display)
        check_not_negative(self.schedule(0.0), "schedule(0)")
        check_batch_size(model, len(batches.order), batches.batch_size)
        check_bfloat16(model, batches, self.optimizer)
        self.model, self.batches, self.loss, self.validation = model, batches, loss, validation
        self.history, self.updater = History(), None
        if topology is not None:
            assert batches.rng is not None
            _check_optimizer_state(topology, self.optimizer)
            layers, steps = getattr(model, "layers", ()), self.epochs * len(batches)
            start = checkpoints is None or not checkpoints.found
            self.updater = TopologyUpdater(topology, layers, steps, len(batches), batches.rng, start=start)
            self.history.topology = self.updater.records
        self.stopped, self._whole, self.rate = False, True, 0.0
        self.current_epoch = initial_epoch
        self.checkpoints, self._due = checkpoints, False
        self.settings = settings_of(self)
        self._start_epoch()
        if checkpoints is not None:
            checkpoints.go_on(self.restore)
        if initial_epoch > 0:
            adopt(model, self.optimizers)
        model.loss, model.classes = loss, classes

    def _start_epoch(self) -> None:
        self._done = 0  # batches of this epoch
        self._loss_sum, self._weight_sum, self._samples = 0.0, 0.0, 0
        self._correct: float | None = 0.0
        self._seconds = 0.0

    @property
    def callbacks(self) -> tuple[Callback, ...]:
        """The callbacks, in the order in which they are called."""
        return self._moments.callbacks

    @property
    def global_step(self) -> int:
        """The training steps done, over all epochs."""
        return self.current_epoch * len(self.batches) + self._done

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or a callback has ended the run."""
        return self.stopped or self.current_epoch >= self.epochs

    def train(self) -> History:
        """Train to the end, and return the history."""
        try:
            self.stopped |= self._moments.begin(self)
            while not self.finished:
                if self._done == 0 and self._moments.tell("on_epoch_begin", self):
                    self.stopped = True
                else:
                    self.epoch()
        except KeyboardInterrupt:
            if self._whole and self._moments.whole:  # between two steps, where no callback has still to be called
                self._due = True
                self._save(after_epoch=False)
            raise
        finally:
            self.batches.close()
            self.finish()  # an interrupted run, too, leaves a network that can be used
            self._moments.end(self)
        return self.history

    def epoch(self) -> EpochRecord:
        """Train on every sample once (on the remaining ones, after some `step`), evaluate, and return the record.

        Raises Diverged where the loss is not finite, after the callbacks and before a checkpoint; with "warn", warns
        (RuntimeWarning) the first time.
        """
        try:
            while self._done < len(self.batches):
                self.step()
        except StopTraining:
            self.stopped = True
        evaluation = None if self.validation is None else self.validation()
        record = EpochRecord(
            epoch=self.current_epoch + 1,
            learning_rate=self.schedule(float(self.current_epoch)),
            loss=self._loss_sum / self._weight_sum if self._weight_sum else 0.0,
            train_accuracy=None if self._correct is None else self._correct / self._samples,
            test_loss=None if evaluation is None else evaluation.loss,
            test_accuracy=None if evaluation is None else evaluation.accuracy,
            seconds=self._seconds,
        )
        self._whole = False
        self.history.epochs.append(record)
        tell(self.schedule, record.loss if evaluation is None else evaluation.loss)
        # Before the callbacks: one of them may ask for the state.
        self.current_epoch += 1
        self._start_epoch()
        self._whole = True
        self.stopped |= self._moments.tell_epoch_end(self, record)
        self._check_diverged(record)
        self._save(after_epoch=True)
        return record

    def _check_diverged(self, record: EpochRecord) -> None:
        """Raise Diverged, or warn once, where an epoch has left the finite numbers."""
        if self.diverged == "warn":
            if not isfinite(record.loss) and all(isfinite(earlier.loss) for earlier in self.history.epochs[:-1]):
                # The caller of Sequential.fit: this, epoch, train, _train, fit and the method are before it.
                message = "the loss is not finite: the learning rate may be too high"
                warnings.warn(message, RuntimeWarning, stacklevel=7)
            return
        lost = next(_losses(record), None)
        if lost is None and self.checkpoints is not None and not self._has_finite_weights:
            lost = "a weight is not finite"
        if lost is not None:
            if self.checkpoints is not None:
                self.checkpoints.set_aside(self.global_step - len(self.batches))
            raise Diverged(
                f"training diverged in epoch {record.epoch}: {lost}. Usual causes are a learning rate that is too high "
                f"(here {self.rate:g}), and features or targets that are not scaled; diverged='warn' goes on",
                self.history,
            )

    @property
    def _has_finite_weights(self) -> bool:
        return all(bool(np.isfinite(parameter.values).all()) for parameter in self.model.parameters())

    def step(self) -> StepResult:
        """Take one training step on the next batch of the epoch, and return the loss before it.

        Raises RuntimeError where no batch of the epoch remains: `epoch` completes it.
        """
        batches = len(self.batches)
        if self._done == batches:
            raise RuntimeError(f"all {batches} batches of epoch {self.current_epoch + 1} are done; call epoch()")
        started, self._whole = perf_counter(), False
        if self._done == 0:
            self.batches.start()
        draw, step = self.batches.draw(self._done), self.global_step
        rate = check_not_negative(self.schedule(self.current_epoch + self._done / batches), "the schedule's rate")
        self.rate, updates = rate, len(self.history.topology)
        learn = self.updater is None or self.updater.before(step)
        by_layer = self.updater is not None and self.updater.reads_factors(step)
        result = train_draw(self.model, self.batches, draw, self.optimizer, rate, self.loss, learn, by_layer)
        if self.updater is not None:
            self.updater.after(step, rate)
        self._done += 1
        self._loss_sum += result.value * result.weight
        self._weight_sum += result.weight
        self._correct = None if self._correct is None or result.correct is None else self._correct + result.correct
        self._samples += len(draw.rows)
        self._seconds += perf_counter() - started
        stop = len(self.history.topology) > updates and self._moments.tell(
            "on_topology_update", self, self.history.topology[updates:]
        )
        self._whole = True
        stop |= self._moments.tell_batch_end(self, result, self._done, batches)
        if stop:
            raise StopTraining
        self._save(after_epoch=False)
        return result

    def finish(self) -> None:
        """Leave the network as the topology wants it used; call it once, after the last step."""
        if self.updater is not None:
            self.updater.finish()

    # ---- checkpoints

    def _save(self, *, after_epoch: bool) -> None:
        """Write a checkpoint where one is due, or was due at a step after which there was no state."""
        if self.checkpoints is None:
            return
        ended = after_epoch and self.finished
        self._due = self._due or ended or self.checkpoints.due(self.global_step, after_epoch)
        if not self._due or self.reads_last_batch:
            return
        if self.diverged == "raise" and not (isfinite(self._loss_sum) and self._has_finite_weights):
            return  # the end of the epoch raises: the last good state stays
        self.checkpoints.write(self.state(), self.global_step, trusted=self.global_step - self._done)
        self._due = False

    @property
    def reads_last_batch(self) -> bool:
        """Whether the next update of the topology reads what layers keep of the last batch, which no state holds."""
        return self.updater is not None and not self.finished and self.updater.reads_last_batch(self.global_step)

    def state(self) -> dict[str, Any]:
        """Return all that the rest of the run depends on, as plain data and copies of arrays.

        A run made of the same arguments that takes it by `restore` continues with the same bits. Not included are the
        arguments themselves: data, loss, settings. An optimizer of the user's own, a schedule and callbacks are asked
        for what they remember, if they have methods `state` and `restore` or `state_dict` and `load_state_dict`.

        Raises RuntimeError before an update of a topology that reads the gradient of the last batch.
        """
        return run_state(self)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state()` of a run that was made of the same arguments.

        Raises ValueError, before anything is changed, for the state of another network or of other data; warns
        (RuntimeWarning) of other settings, with which the run does not go on as the first would have.
        """
        restore_run(self, state)

    @property
    def optimizers(self) -> tuple[object, ...]:
        """The optimizers that may own the state of parameters."""
        return getattr(self.optimizer, "members", (self.optimizer,))


def _losses(record: EpochRecord) -> Iterator[str]:
    """Yield a few words for each loss of an epoch that is not finite."""
    for name, value in (("loss", record.loss), ("validation loss", record.test_loss)):
        if value is not None and not isfinite(value):
            yield f"the {name} is {value}"


def _check_optimizer_state(topology: Topology, optimizer: Optimizer) -> None:
    """Raise ValueError where the optimizer does not keep the state that a method of dynamic sparse training reads."""
    wanted: Any = getattr(topology, "optimizer_state", None) or getattr(topology, "state", ())
    probe = Parameter("weight", np.zeros(1, np.float32))
    if wanted:
        optimizer.step([probe], 0.0)
    for name in wanted:
        if name not in probe.state:
            raise ValueError(f"topology is {topology!r}, which needs an optimizer with {name}; this is {optimizer!r}")
