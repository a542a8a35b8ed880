"""What goes with what, and values that follow from others."""

import pytest

import nerva
from nerva.cli.arguments import parse
from nerva.cli.choices import CRITERIA, LOSSES, OPTIMIZERS, SCHEDULES, TOPOLOGIES
from nerva.cli.rules import flag

from .running import assert_refused

# A word that each option that goes with some choices only may be.
WORDS = {
    "label_smoothing": "0", "class_weights": "1,2", "momentum": "0", "betas": "0.7,0.8", "milestones": "1",
    "gamma": "1", "period": "3", "decay": "0", "update_every": "7", "drop_fraction": "0", "drop_threshold": "0",
    "accumulate": "2", "grow_init": "he", "final_density": "0.005", "prune_samples": "9",
}  # fmt: skip
PAIRS = [
    (table, name, option)
    for table in (LOSSES, OPTIMIZERS, SCHEDULES, TOPOLOGIES, CRITERIA)
    for name in table.rows
    for option in table.options()
]


@pytest.mark.parametrize(
    ("table", "name", "option"), PAIRS, ids=[f"{name} {flag(option)}" for _, name, option in PAIRS]
)
def test_an_option_goes_with_the_names_whose_rows_have_it(capsys, table, name, option):
    row = table.rows[name]
    argv = ["train", flag(table.option), name, flag(option), WORDS[option]]
    for needed in {*row.required} - {option}:
        argv += [flag(needed), WORDS[needed]]
    if option in row.options:
        options = parse(argv)
        assert getattr(options, option) is not None
        assert all(getattr(options, other) is not None for other in row.options if other in row.defaults)
    else:
        with pytest.raises(SystemExit) as ended:
            parse(argv)
        assert ended.value.code == 2
        assert capsys.readouterr().err.startswith(f"nerva train: {flag(option)}: ")


@pytest.mark.parametrize("name", [name for name, row in TOPOLOGIES.rows.items() if row.required])
def test_what_a_row_requires_must_be_given(capsys, name):
    with pytest.raises(SystemExit):
        parse(["train", "--topology", name])
    (needed,) = TOPOLOGIES.rows[name].required
    assert capsys.readouterr().err == f"nerva train: --topology {name}: needs {flag(needed)}\n"


def test_defaults_are_those_of_the_choice():
    def given(*argv):
        return {name: value for name, value in vars(parse(["train", *argv])).items() if name in WORDS and value}

    assert given() == {"momentum": 0.9, "milestones": [50, 75], "gamma": 0.1}
    assert given("--optimizer", "adam", "--schedule", "step") == {"gamma": 0.1, "period": 10.0}
    assert given("--optimizer", "rmsprop", "--schedule", "exponential") == {"decay": 0.01}
    assert given("--optimizer", "sgd", "--schedule", "constant", "--topology", "deepr") == {"update_every": 1}
    assert given("--optimizer", "sgd", "--milestones", "none", "--topology", "set") == {"update_every": 100}
    assert given("--optimizer", "sgd", "--milestones", "none", "--prune-at-start", "snip") == {"prune_samples": 1000}
    assert given("--optimizer", "sgd", "--milestones", "none", "--prune-at-start", "synflow") == {}


@pytest.mark.parametrize("name", OPTIMIZERS.rows)
def test_the_learning_rate_suits_the_optimizer(name):
    assert parse(["train", "--optimizer", name]).learning_rate == nerva.optimizers.OPTIMIZERS[name].default_rate
    assert parse(["train", "--optimizer", name, "--learning-rate", "0.3"]).learning_rate == 0.3


def test_data_that_are_no_images_are_not_augmented(command, blobs):
    complaint = "nerva train: --augment: goes with images only, --data cifar10, cifar100, mnist, fashion-mnist, shapes"
    assert command("train", "--data", blobs, "--augment") == (2, [], [complaint])


def test_milestones_lower_the_rate(metrics_of):
    rates = [epoch["learning_rate"] for epoch in metrics_of("--milestones", "1,2", "--gamma", 0.5)[1]]
    assert rates == [0.01, 0.005, 0.0025]
    run, epochs = metrics_of("--milestones", "none")
    assert [epoch["learning_rate"] for epoch in epochs] == [0.01] * 3
    assert (run["milestones"], run["gamma"]) == ([], None)


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["train", "--data-dir", "."], "--data-dir: goes with --data cifar10, cifar100, mnist, fashion-mnist only"),
        (["train", "--densities", "0.1,0.2"], "--densities: 2 given for 3 layers"),
        (["train", "--densities", "1,1,1", "--distribution", "uniform"], "--distribution: goes with --density"),
        (
            ["train", "--optimizer", "adam", "--momentum", "0.9"],
            "--momentum: goes with --optimizer momentum, nesterov or",
        ),
        (["train", "--decay", "0.1"], "--decay: goes with --schedule time-based or exponential"),
        (["train", "--schedule", "cosine", "--gamma", "0.1"], "--gamma: goes with milestones"),
        (["train", "--update-every", "3"], "--update-every: goes with --topology"),
        (["train", "--topology", "gmp"], "--topology gmp: needs --final-density"),
        (["train", "--topology", "set", "--final-density", "0.1"], "--final-density: goes with --topology gmp"),
        (["train", "--data", "mini", "--augment"], "--augment: goes with images only"),
        (["train", "--data", "mini", "--preprocess", "unit"], "--preprocess: goes with images only"),
        (["train", "--power-scale", "0.5", "--distribution", "uniform"], "--power-scale: goes with erdos-renyi only"),
        (["train", "--momentum", "0.9", "--optimizer", "sgd"], "--momentum: goes with"),
        (["train", "--milestones", "none", "--gamma", "0.5"], "--gamma: goes with milestones"),
        (["train", "--overwrite"], "--overwrite: goes with --metrics"),
        (
            ["train", "--label-smoothing", "0.1", "--loss", "squared-error"],
            "--label-smoothing: goes with --loss softmax",
        ),
        (["train", "--class-weights", "1", "--loss", "squared-error"], "--class-weights: goes with --loss"),
        (["train", "--betas", "0.9,0.99"], "--betas: goes with --optimizer adam, adamw or lion"),
        (["train", "--betas", "0.9", "--optimizer", "adam"], "--betas: 1 given; there are two"),
        (["train", "--period", "3"], "--period: goes with --schedule step or cosine"),
        (["train", "--accumulate", "3", "--topology", "set"], "--accumulate: goes with --topology rigl or granet"),
        (["train", "--drop-fraction", "0.3", "--topology", "gmp", "--final-density", "0.001"], "--drop-fraction: goes"),
        (["train", "--grow-init", "he", "--topology", "snfs"], "--grow-init: goes with --topology set or"),
        (["train", "--topology", "threshold"], "--topology threshold: needs --drop-threshold"),
        (["train", "--drop-threshold", "1", "--topology", "rigl"], "--drop-threshold: goes with --topology threshold"),
        (["train", "--topology", "top-kast", "--final-density", "0.5"], "--topology top-kast: --density is that of"),
        (["train", "--prune-samples", "10"], "--prune-samples: goes with --prune-at-start"),
        (["train", "--prune-at-start", "snip", "--batch-norm"], "--batch-norm: does not go with --prune-at-start"),
        (
            ["train", "--prune-at-start", "snip", "--power-scale", "0"],
            "--power-scale: does not go with --prune-at-start",
        ),
        (["train", "--prune-at-start", "snip", "--support", "blocks"], "--support: does not go with"),
        (
            ["train", "--prune-at-start", "snip", "--loss", "squared-error"],
            "--prune-at-start: goes with --loss softmax",
        ),
        (["train", "--prune-at-start", "snip", "--activation", "srelu"], "--prune-at-start: knows the activations"),
        (["train", "--prune-at-start", "snip", "--init", "zeros"], "--prune-at-start: has nothing to choose from"),
        (
            ["train", "--prune-at-start", "synflow", "--prune-samples", "10"],
            "--prune-samples: synflow looks at none",
        ),
        (["train", "--schedule", "cosine", "--milestones", "5"], "--milestones: goes with --schedule milestones"),
        (["train", "--check-gradients", "--metrics", "m.jsonl"], "--metrics: does not go with --check-gradients"),
        (["train", "--check-gradients", "--save-weights", "w.npz"], "--save-weights: does not go with --check-grad"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_contradictions_are_one_line_and_code_2(command, tmp_path, monkeypatch, argv, complaint):
    monkeypatch.chdir(tmp_path)
    assert_refused(command(*argv), argv, complaint)
    assert list(tmp_path.iterdir()) == []
