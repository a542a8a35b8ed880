"""The tables of choices: each name builds what the library has, with the options that it takes."""

from argparse import Namespace
from functools import partial

import pytest

import nerva
from nerva.cli.choices import CRITERIA, DATA, LOSSES, OPTIMIZERS, SCHEDULES, TOPOLOGIES
from nerva.models import pruning

# A value of each option that some row takes.
VALUES = {
    "label_smoothing": 0.1, "class_weights": [1.0, 2.0], "momentum": 0.3, "betas": [0.7, 0.8], "weight_decay": 0.1,
    "clip_norm": 1.0, "clip_value": 2.0, "learning_rate": 0.5, "milestones": [1, 2], "gamma": 0.4, "period": 3.0,
    "decay": 0.2, "epochs": 9, "update_every": 7, "drop_fraction": 0.2, "drop_threshold": 0.5, "accumulate": 2,
    "grow_init": "he", "final_density": 0.1, "density": 0.5,
}  # fmt: skip
BUILT = [(table, name) for table in (LOSSES, OPTIMIZERS, SCHEDULES, TOPOLOGIES) for name in table.rows]


@pytest.mark.parametrize(("table", "name"), BUILT, ids=[name for _, name in BUILT])
def test_a_row_builds_what_it_names_with_and_without_its_options(table, name):
    row = table.rows[name]
    kind = row.make.func if isinstance(row.make, partial) else row.make
    needed = {option: VALUES[option] for option in (*row.required, *row.shared, *table.shared)}
    least = table.build(name, Namespace(**(dict.fromkeys(row.options) | needed | row.defaults)))
    every = table.build(name, Namespace(**VALUES))
    assert type(least) is type(every)
    if isinstance(kind, type):
        assert type(every) is kind
    if row.options:
        described = [repr(vars(built)) for built in (least, every)]
        assert described[0] != described[1]


def test_the_tables_hold_all_that_the_library_has():
    def classes(table):
        return {name: getattr(row.make, "func", row.make) for name, row in table.rows.items()}

    assert classes(OPTIMIZERS) == nerva.optimizers.OPTIMIZERS
    assert classes(LOSSES) == nerva.losses.LOSSES
    assert list(CRITERIA.rows) == list(pruning.CRITERIA)
    others = ("npz", "idx", "svmlight", "extreme")  # files that the user has, and what train has no network for
    assert {row.make for row in DATA.rows.values()} == {
        function
        for name, function in vars(nerva.datasets).items()
        if name in nerva.datasets.__all__ and not isinstance(function, type) and not name.endswith(others)
    }


def test_options_reach_the_keywords_that_a_row_names():
    lion = OPTIMIZERS.build("lion", Namespace(**VALUES))
    assert (lion.beta1, lion.beta2, lion.weight_decay, lion.clip_norm, lion.clip_value) == (0.7, 0.8, 0.1, 1.0, 2.0)
    assert SCHEDULES.build("cosine", Namespace(**VALUES)) == nerva.Cosine(0.5, 3.0, growth=1.0)
    assert SCHEDULES.build("cosine", Namespace(**VALUES | {"period": None})) == nerva.Cosine(0.5, 9.0)
    assert SCHEDULES.build("cosine", Namespace(**VALUES | {"period": 20.0})) == nerva.Cosine(0.5, 20.0)
    granet = TOPOLOGIES.build("granet", Namespace(**VALUES), unit="step")
    assert (granet.when.every, granet.when.unit, granet.when.fraction, granet.accumulate) == (7, "step", 0.2, 2)
    assert TOPOLOGIES.build("top-kast", Namespace(**VALUES)).forward == 0.2


@pytest.mark.parametrize(
    ("options", "network", "training"),
    [
        (["--activation", "gelu", "--batch-norm"], {"activation": "gelu", "batch_norm": True}, {}),
        (["--dropout", 0.2, "--drop-connect", 0.1], {"dropout": 0.2, "drop_connect": 0.1}, {}),
        (["--activation", "srelu", "--support", "fan-in"], {"activation": "srelu", "support": "fan-in"}, {}),
        (["--fan", "live", "--init", "lecun"], {"fan": "live", "init": "lecun"}, {}),
        (["--distribution", "balanced"], {"distribution": "balanced"}, {}),
        (["--power-scale", 0], {"distribution": "uniform"}, {}),
        (["--optimizer", "adam"], {}, {"optimizer": nerva.Adam()}),
        (["--optimizer", "rmsprop", "--momentum", 0.5], {}, {"optimizer": nerva.RMSprop(momentum=0.5)}),
        (["--clip-norm", 0.5], {}, {"optimizer": nerva.Nesterov(clip_norm=0.5)}),
        (["--clip-value", 0.01], {}, {"optimizer": nerva.Nesterov(clip_value=0.01)}),
        (["--schedule", "cosine"], {}, {"schedule": nerva.Cosine(0.01, 3)}),
        (["--schedule", "one-cycle"], {}, {"schedule": nerva.OneCycle(0.01, 3)}),
        (["--schedule", "time-based", "--decay", 0.5], {}, {"schedule": nerva.TimeBased(0.01, 0.5)}),
        (["--schedule", "exponential"], {}, {"schedule": nerva.Exponential(0.01, 0.01)}),
        (["--schedule", "constant", "--warm-up", 2], {}, {"schedule": nerva.WarmUp(0.01, 2)}),
        (["--topology", "rigl", "--update-every", 4], {}, {"topology": nerva.RigL(0.3, every=4)}),
        (
            ["--topology", "set", "--drop-fraction", 0.1, "--update-every", 5],
            {},
            {"topology": nerva.SET(0.1, every=5, unit="step")},
        ),
        (
            ["--topology", "gmp", "--final-density", 0.1, "--update-every", 3],
            {"sparse": True},
            {"topology": nerva.GMP(0.1, every=3)},
        ),
        (
            ["--topology", "granet", "--final-density", 0.1, "--update-every", 3],
            {"sparse": True},
            {"topology": nerva.GraNet(0.1, every=3)},
        ),
        (
            ["--topology", "rigl", "--update-every", 4, "--accumulate", 2, "--drop-fraction", 0.2],
            {},
            {"topology": nerva.RigL(0.2, every=4, accumulate=2)},
        ),
        (["--no-shuffle"], {}, {"shuffle": False}),
        (
            ["--topology", "srigl", "--update-every", 4, "--grow-init", "he"],
            {},
            {"topology": nerva.SRigL(every=4, init="he")},
        ),
        (["--topology", "deepr"], {}, {"topology": nerva.DeepR()}),
        (
            ["--topology", "cht", "--update-every", 4, "--drop-fraction", 0.2, "--support", "receptive-field"],
            {"support": "receptive-field"},
            {"topology": nerva.CHT(0.2, every=4, unit="step")},
        ),
        (
            ["--topology", "chts", "--update-every", 4, "--grow-init", "he"],
            {},
            {"topology": nerva.CHTs(every=4, unit="step", init="he")},
        ),
        (
            ["--topology", "threshold", "--drop-threshold", 0.05, "--update-every", 4],
            {},
            {"topology": nerva.Threshold(0.05, every=4, unit="step")},
        ),
        (
            ["--topology", "top-kast", "--final-density", 0.15, "--update-every", 4],
            {"sparse": True},
            {"topology": nerva.TopKAST(0.5, every=4)},
        ),
        (["--topology", "srigl", "--update-every", 4], {}, {"topology": nerva.SRigL(every=4)}),
        (["--schedule", "step", "--period", 1, "--gamma", 0.5], {}, {"schedule": nerva.StepDecay(0.01, 0.5, 1)}),
        (["--schedule", "cosine", "--period", 2], {}, {"schedule": nerva.Cosine(0.01, 2, growth=1)}),
        (["--label-smoothing", 0.1], {}, {"loss": nerva.SoftmaxCrossEntropy(label_smoothing=0.1)}),
        (["--class-weights", "1,2,0.5"], {}, {"loss": nerva.SoftmaxCrossEntropy(class_weights=[1, 2, 0.5])}),
        (["--optimizer", "lion", "--betas", "0.8,0.9"], {}, {"optimizer": nerva.Lion(beta1=0.8, beta2=0.9)}),
        (["--loss", "squared-error"], {}, {"loss": nerva.SquaredError(classes=True)}),
        (["--loss", "mean-squared-error"], {}, {"loss": nerva.MeanSquaredError(classes=True)}),
        (["--loss", "logistic-cross-entropy"], {}, {"loss": nerva.LogisticCrossEntropy(classes=True)}),
        (["--loss", "cross-entropy"], {"output": "softmax"}, {"loss": nerva.CrossEntropy()}),
        (["--loss", "negative-log-likelihood"], {"output": "log_softmax"}, {"loss": nerva.NegativeLogLikelihood()}),
        (["--distribution", "erdos-renyi-kernel"], {}, {}),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_every_option_does_what_its_argument_does(metrics_of, blobs, options, network, training):
    _, epochs = metrics_of("--seed", 5, "--batch-size", 50, *options)
    data = nerva.datasets.npz(blobs)
    model = nerva.MLP([20, 16, 8, 3], density=0.3, seed=5, **network)
    history = model.fit(*data.train, validation=data.test, epochs=3, batch_size=50, **training)
    assert [epoch["loss"] for epoch in epochs] == history["loss"]
