"""What `nerva search` varies: --over, --space, the default, and what is refused."""

import pytest

from nerva.cli.arguments import parse
from nerva.cli.choices import CRITERIA, LOSSES, OPTIMIZERS, SCHEDULES, TOPOLOGIES
from nerva.cli.search_space import TAKERS
from nerva.experiments.space import OneOf, Range, When

from .running import assert_refused


def settings(*argv):
    return parse(["search", *map(str, argv)]).settings


def space(*argv):
    return settings(*argv).space.values


def over(*texts):
    return [word for text in texts for word in ("--over", text)]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("learning-rate=0.01..0.3:log", Range(0.01, 0.3, log=True)),
        ("momentum=0..0.9", Range(0.0, 0.9)),
        ("batch-size=16..64", Range(16, 64)),
        ("batch-size=16,64", OneOf(("16", "64"))),
        ("distribution=uniform,erdos-renyi", OneOf(("uniform", "erdos-renyi"))),
        ("hidden=512,256/1024/none", OneOf(("512,256", "1024", "none"))),
        ("clip-norm=none,1,10", OneOf(("none", "1", "10"))),
        ("batch-norm=yes,no", OneOf(("yes", "no"))),
        ("learning_rate=1e-3..1e-1:log", Range(0.001, 0.1, log=True)),
        ("warm-up=1..5", Range(1.0, 5.0)),
    ],
)
def test_values_on_the_command_line(text, values):
    assert space(*over(text)) == {text.split("=")[0].replace("_", "-"): values}


def test_a_file_says_the_same_and_the_command_line_comes_first(tmp_path):
    (tmp_path / "space.toml").write_text(
        'learning-rate = "0.01..0.3:log"\nbatch_size = { low = 16, high = 64, log = true }\n'
        'hidden = [[512, 256], [1024], []]\nbatch-norm = [true, false]\ntopology = ["none", "rigl"]\n'
        "dropout = [0, 0.5]\n"
    )
    file = ["--space", tmp_path / "space.toml"]
    found = {
        "learning-rate": Range(0.01, 0.3, log=True),
        "batch-size": Range(16, 64, log=True),
        "hidden": OneOf(("512,256", "1024", "none")),
        "batch-norm": OneOf(("yes", "no")),
        "topology": OneOf(("none", "rigl")),
        "dropout": OneOf(("0", "0.5")),
    }
    assert space(*file) == found
    assert space(*file, *over("batch-size=8..16")) == {**found, "batch-size": Range(8, 16)}


def test_the_default_leaves_out_what_is_given():
    names = {"learning-rate", "weight-decay", "distribution", "topology", "drop-fraction"}
    assert {*space()} == names
    assert space()["learning-rate"] == Range(0.001, 0.1, log=True)
    assert space("--optimizer", "adam")["learning-rate"] == Range(0.0001, 0.01, log=True)
    assert {*space("--topology", "rigl", "--learning-rate", 0.1)} == names - {"topology", "learning-rate"}
    assert {*space("--topology", "deepr")} == names - {"topology", "drop-fraction"}
    assert {*space("--prune-at-start", "snip")} == names - {"distribution"}
    assert {*space("--density", "1")} == {"learning-rate", "weight-decay", "distribution"}


def test_a_setting_is_left_out_of_trials_with_methods_that_do_not_take_it():
    found = settings(*over("topology=none,rigl,gmp", "drop-fraction=0.1..0.5"), "--final-density", 0.001)
    assert found.space.conditions == {"drop-fraction": When("topology", tuple(TOPOLOGIES.taking("drop_fraction")))}
    assert found.words({"topology": "none"}) == []
    assert found.words({"topology": "rigl", "drop-fraction": 0.2}) == ["--topology", "rigl", "--drop-fraction", "0.2"]
    assert found.words({"topology": "gmp"}) == ["--final-density", "0.001", "--topology", "gmp"]
    found = settings(*over("optimizer=adam,nesterov", "momentum=0.5..0.9", "distribution=uniform,erdos-renyi"),
                     "--power-scale", 0.5, "--no-shuffle")  # fmt: skip
    words = found.words({"optimizer": "adam", "distribution": "uniform"})
    assert words == ["--no-shuffle", "--optimizer", "adam", "--distribution", "uniform"]
    words = found.words({"optimizer": "nesterov", "distribution": "erdos-renyi", "momentum": 0.5})
    assert words[:3] == ["--power-scale", "0.5", "--no-shuffle"]
    assert words[-2:] == ["--momentum", "0.5"]


def test_flags_and_none():
    found = settings(*over("batch-norm=yes,no", "hidden=none/8", "warm-up=none,2"))
    assert found.words({"batch-norm": "no", "hidden": "none", "warm-up": "none"}) == ["--hidden", "none"]
    assert found.words({"batch-norm": "yes", "hidden": "8"}) == ["--batch-norm", "--hidden", "8"]


def test_every_option_of_a_table_is_known_to_belong_to_it():
    for table in (OPTIMIZERS, LOSSES, SCHEDULES, TOPOLOGIES, CRITERIA):
        for option in table.options():
            assert TAKERS[option] == (table.option, tuple(table.taking(option)))


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (over("learning-rate"), "--over learning-rate: write NAME=VALUES"),
        (over("lerning-rate=1,2"), "--over lerning-rate: is no option of nerva train"),
        (over("learning-rate=0.3..0.1"), "--over learning-rate: low is 0.3, which is not below high, 0.1"),
        (over("learning-rate=0..0.1"), "--over learning-rate: '0' is not a number above 0"),
        (over("weight-decay=0..0.1:log"), "--over weight-decay: low is 0.0; with log it must be above 0"),
        (over("learning-rate=0.1"), "--over learning-rate: 0.1 is no choice"),
        (over("learning-rate=0.1,x"), "--over learning-rate: 'x' is not a number"),
        (over("learning-rate=0.1,0.1"), "--over learning-rate: 0.1 is there twice"),
        (over("batch-size=0.5..4"), "--over batch-size: '0.5' is not a whole number"),
        (over("topology=rigl,magic"), "--over topology: 'magic' is none of set, magnitude"),
        (over("optimizer=none,sgd"), "--over optimizer: 'none' would be nesterov; name it"),
        (over("topology=0..1"), "--over topology: takes no range"),
        (over("hidden=1..5"), "--over hidden: takes no range"),
        (over("hidden=512,256"), "--over hidden: 512,256 is no choice"),
        (over("batch-norm=1,2"), "--over batch-norm: '1' is neither yes nor no"),
        (over("data=mini,shapes"), "--over data: is the same in all trials"),
        (over("epochs=1..5"), "--over epochs: is the same in all trials"),
        (over("seed=1..5"), "--over seed: does not go with nerva search"),
        (over("metrics=a,b"), "--over metrics: does not go with nerva search"),
        ([*over("density=0.1..0.2"), "--density", "0.1"], "--over density: --density is given, too"),
        (over("topology=rigl,gmp"), "--over topology: gmp needs --final-density, given or varied"),
        (over("drop-fraction=0.1..0.5"), "--over drop-fraction: goes with --topology set or magnitude or"),
        ([*over("topology=none,deepr"), "--drop-fraction", "0.1"], "--drop-fraction: goes with --topology set or"),
        (["--topology", "gmp"], "--topology: gmp needs --final-density, given or varied"),
        (over("optimizer=adam,sgd", "momentum=0.1..0.2"), "--over momentum: goes with --optimizer momentum or"),
        (["--checkpoint", "x"], "--checkpoint: does not go with nerva search"),
        (["--densty", "0.1"], "unknown option --densty; did you mean --density?"),
        (["--lr", "0.1"], "unknown option --lr; did you mean --learning-rate?"),
        (["stray"], "unexpected argument 'stray'"),
        (["--density"], "--density: expected one argument"),
        (["--density", "2"], "--density: '2' is not a number above 0 and at most 1"),
        (["--batch-norm=3"], "--batch-norm: takes no value"),
        (["--decay", "3"], "--decay: goes with --schedule time-based or exponential"),
        (["--trials", "0"], "--trials: '0' is not a whole number of at least 1"),
        (["--pruner", "shears"], "--pruner: invalid choice: 'shears'"),
        (["--validation-split", "1"], "--validation-split: '1' is not a number above 0 and below 1"),
        (["--space", "nowhere.toml"], "--space: there is no file nowhere.toml"),
    ],
)
def test_what_is_wrong_is_named(command, argv, complaint):
    assert_refused(command("search", *argv), argv, complaint)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a = ", "is no TOML"),
        ("", "the file names no option"),
        ("dropout = 3", "dropout is 3; it must be a text, a list, or a table of low and high"),
        ("dropout = { low = 0.1 }", "dropout must have low and high, and may have log; it has low"),
        ("dropout = { low = 0.5, high = 0.1 }", "--over dropout: low is 0.5"),
        ("nothing = [1, 2]", "--over nothing: is no option of nerva train"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(command, tmp_path, text, complaint):
    (tmp_path / "space.toml").write_text(text)
    assert_refused(command("search", "--space", tmp_path / "space.toml"), [], complaint)
