"""A case: a network, data and a way to train it, drawn from a seed."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy import sparse

import nerva
from nerva._kernels.isa import lacking_for_bfloat16

FEATURES = (1, 2, 3, 7, 12, 16, 17, 33, 65)
ACTIVATIONS = ("relu", "tanh", "sigmoid", "identity", "leaky_relu", "gelu", "gelu_tanh", "silu", "srelu")
OBJECTS = (nerva.LeakyReLU(0.2), nerva.AllReLU(0.5), nerva.TReLU(0.3), nerva.SReLU())
LOSSES = {  # with the activation of the last layer, and the kind of targets
    "softmax": (nerva.SoftmaxCrossEntropy, {}, "identity", "labels"),
    "smoothed": (nerva.SoftmaxCrossEntropy, {"label_smoothing": 0.1}, "identity", "labels"),
    "probabilities": (nerva.CrossEntropy, {}, "softmax", "labels"),
    "log-probabilities": (nerva.NegativeLogLikelihood, {}, "log_softmax", "labels"),
    "logistic": (nerva.LogisticCrossEntropy, {}, "identity", "bits"),
    "squared": (nerva.SquaredError, {}, "identity", "numbers"),
    "mean squared": (nerva.MeanSquaredError, {}, "tanh", "numbers"),
}
# Of all numbers that a step divides by, none is near 0: the two ways to compute it differ by rounding alone.
OPTIMIZERS = {
    "SGD": (nerva.SGD, {}),
    "Momentum": (nerva.Momentum, {"momentum": 0.8}),
    "Nesterov": (nerva.Nesterov, {}),
    "RMSprop": (nerva.RMSprop, {"epsilon": 1e-2}),
    "RMSprop with momentum": (nerva.RMSprop, {"epsilon": 1e-2, "momentum": 0.5}),
    "Adam": (nerva.Adam, {"epsilon": 1e-2}),
    "AdamW": (nerva.AdamW, {"epsilon": 1e-2}),
    "Lion": (nerva.Lion, {}),
}
TOPOLOGIES = {
    "SET": (nerva.SET, {}),
    "SET, regrow": (nerva.SET, {"regrow": True, "init": "xavier"}),
    "Magnitude": (nerva.Magnitude, {}),
    "Threshold": (nerva.Threshold, {"threshold": 0.1}),
    "RigL": (nerva.RigL, {}),
    "RigL, accumulate": (nerva.RigL, {"accumulate": 2, "regrow": True}),
    "GMP": (nerva.GMP, {"density": 0.05}),
    "GMP by layer": (nerva.GMP, {"density": 0.02, "scope": "layer"}),
    "GraNet": (nerva.GraNet, {"density": 0.05}),
    "DeepR": (nerva.DeepR, {"l1": 1e-2, "temperature": 1e-3}),
    "SNFS": (nerva.SNFS, {}),
    "SRigL": (nerva.SRigL, {}),
    "TopKAST": (nerva.TopKAST, {}),
    "CHT": (nerva.CHT, {}),
    "CHT, CH2": (nerva.CHT, {"rule": "CH2-L3p", "init": "xavier"}),
    "CHTs": (nerva.CHTs, {}),
    "CHTs, relative": (nerva.CHTs, {"magnitude": 0.5}),
}
SOURCES = ("float32", "float64", "bytes", "sparse", "chunked", "chunked bytes")
SCHEDULES = ("constant", "cosine", "steps", "one cycle", "warm up", "plateau", "time")


@dataclass(frozen=True)
class Case:
    """What a seed and a number of a case have drawn; each method makes the same things anew."""

    call: str
    sizes: tuple[int, ...]
    network: dict[str, Any]
    loss: str
    optimizer: str
    optimizer_settings: dict[str, Any]
    grouped: bool
    schedule: str
    rate: float
    topology: str | None
    when: dict[str, Any]
    source: str
    samples: int
    fit: dict[str, Any]
    seed: int

    def __str__(self) -> str:
        return "\n".join(f"    {field.name} = {getattr(self, field.name)!r}" for field in fields(self))

    def rng(self) -> np.random.Generator:
        """A generator of what is drawn at random within the call."""
        return np.random.default_rng(self.seed)

    def model(self, **changed: Any) -> nerva.MLP:
        return nerva.MLP(self.sizes, **{**self.network, "output": LOSSES[self.loss][2], **changed})

    def data(self) -> tuple[Any, Any]:
        """Samples of the kind of source, and targets of the kind of loss."""
        rng, n, D = np.random.default_rng(self.seed), self.samples, self.sizes[0]
        X, dtype = rng.standard_normal((n, D)), "float64" if self.network["dtype"] == "float64" else "float32"
        X[rng.random((n, D)) < rng.choice([0.0, 0.5, 0.95])] = 0
        X[rng.random(n) < 0.1] = 0
        return self._source(X, dtype), self._targets(rng)

    def _source(self, X, dtype):
        pixels = (X * 40 + 128).clip(0, 255).astype(np.uint8)
        match self.source:
            case "bytes":
                return nerva.datasets.Standardized(pixels, 0.5, 0.25)
            case "sparse":
                return sparse.csr_matrix(X.astype(dtype))
            case "chunked":
                return nerva.datasets.Chunked(X.astype(dtype), chunk=7, window=2)
            case "chunked bytes":
                return nerva.datasets.Chunked(pixels, chunk=7, window=2, mean=0.5, std=0.25)
        return X.astype(self.source)

    def _targets(self, rng):
        n, K = self.samples, self.sizes[-1]
        match LOSSES[self.loss][3]:
            case "labels":
                return rng.integers(K, size=n)
            case "bits":
                return rng.integers(2, size=(n, K))
        return rng.standard_normal((n, K))

    def make_optimizer(self) -> nerva.Optimizer:
        make, own = OPTIMIZERS[self.optimizer]
        optimizer = make(**own, **self.optimizer_settings)
        return nerva.Groups([("bias", nerva.SGD())], rest=optimizer) if self.grouped else optimizer

    def make_loss(self) -> nerva.Loss:
        make, own, _, _ = LOSSES[self.loss]
        return make(**own)

    def settings(self, **changed: Any) -> dict[str, Any]:
        """Arguments of `fit`, all of them new."""
        made: dict[str, Any] = {"loss": self.make_loss(), "optimizer": self.make_optimizer()}
        if self.topology is not None:
            make, own = TOPOLOGIES[self.topology]
            made["topology"] = make(**own, **self.when)
        return {**self.fit, **made, "schedule": self._schedule(), "rng": self.seed, "verbose": False, **changed}

    def _schedule(self):
        rate = self.rate
        return {
            "constant": lambda: rate,
            "cosine": lambda: nerva.Cosine(rate, 2),
            "steps": lambda: nerva.MultiStep(rate, (1, 2), 0.5),
            "one cycle": lambda: nerva.OneCycle(rate, epochs=3),
            "warm up": lambda: nerva.WarmUp(nerva.Constant(rate), epochs=1),
            "plateau": lambda: nerva.ReduceOnPlateau(rate, factor=0.5, patience=0),
            "time": lambda: nerva.TimeBased(rate, decay=0.1),
        }[self.schedule]()


def draw(seed: int, number: int, calls: tuple[str, ...]) -> Case:
    """Draw a case: the same one for the same numbers."""
    rng = np.random.default_rng([seed, number])
    sizes = tuple(int(rng.choice(FEATURES)) for _ in range(rng.integers(2, 5)))
    network = _network(rng, len(sizes) - 1)
    optimizer_settings: dict[str, Any] = {}
    for name, value in (("weight_decay", 1e-2), ("clip_value", 1e-1), ("clip_norm", 1.0)):
        if rng.random() < 0.2:
            optimizer_settings[name] = value
    grouped = rng.random() < 0.15 and "clip_norm" not in optimizer_settings  # which Groups has itself
    samples = int(rng.choice([1, 2, 5, 17, 40, 90, 200]))
    fit = {"epochs": int(rng.integers(1, 4)), "batch_size": int(rng.choice([1, 3, 20, 66, 100, 200]))}
    if samples / fit["batch_size"] > 45:
        fit["batch_size"] = 20
    if rng.random() < 0.2:
        fit["shuffle"] = False
    return Case(
        call=str(rng.choice(calls)),
        sizes=sizes,
        network=network,
        loss=str(rng.choice(list(LOSSES))),
        optimizer=str(rng.choice(list(OPTIMIZERS))),
        optimizer_settings=optimizer_settings,
        grouped=bool(grouped),
        schedule=str(rng.choice(SCHEDULES)),
        rate=float(rng.choice([0.0, 1e-3, 1e-2, 1e-2, 0.1, 1e30])),
        topology=str(rng.choice(list(TOPOLOGIES))) if rng.random() < 0.7 else None,
        when={"every": int(rng.integers(1, 4)), "unit": "step", "start": 0.0, "end": 1.0},
        source=str(rng.choice(SOURCES)),
        samples=samples,
        fit=fit,
        seed=int(rng.integers(2**31)),
    )


def _network(rng, layers):
    """Draw the settings of an MLP."""
    dtype = str(rng.choice(["float32", "float64"]))
    density: Any = float(rng.choice([0.02, 0.1, 0.3, 0.7, 1.0]))
    if rng.random() < 0.4:
        density = [float(each) for each in rng.choice([0.0, 0.05, 0.3, 0.9, 1.0], size=layers)]
    activation: Any = str(rng.choice(ACTIVATIONS))
    if rng.random() < 0.2:
        activation = OBJECTS[rng.integers(len(OBJECTS))]
    network = {
        "density": density,
        "activation": activation,
        "distribution": str(rng.choice(["erdos-renyi", "uniform", "balanced"])),
        "dtype": dtype,
        "seed": int(rng.integers(2**31)),
        "backend": str(rng.choice(["native", "native", "mkl", "dense", "auto"])),
        "batch_norm": bool(rng.random() < 0.3),
        "dropout": float(rng.choice([0.0, 0.0, 0.3])),
        "drop_connect": float(rng.choice([0.0, 0.0, 0.2])),
        "sparse": bool(rng.random() < 0.5),
    }
    if dtype == "float32" and rng.random() < 0.25 and lacking_for_bfloat16() is None:
        network["precision"] = "bfloat16"
    return network
