"""The values an option may have."""

import pytest

from .running import assert_refused


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (
            ["train", "--data", "golden"],
            "--data: 'golden' is neither one of shapes, cifar10, cifar100, mnist, fashion-mnist,",
        ),
        (["train", "--data", "missing.npz"], "--data: there is no file missing.npz"),
        (["train", "--data", "cifar10", "--data-dir", "missing"], "--data-dir: there is no folder missing"),
        (["train", "--hidden", "10,0"], "--hidden: '0'"),
        (["train", "--hidden", "10,"], "--hidden: ''"),
        (["train", "--hidden", "10.5"], "--hidden: '10.5'"),
        (["train", "--hidden", "3000000000"], "--hidden: '3000000000'"),
        (["train", "--density", "0"], "--density: '0' is not a number above 0 and at most 1"),
        (["train", "--density", "1.01"], "--density: '1.01'"),
        (["train", "--density", "nan"], "--density: 'nan'"),
        (["train", "--density", "few"], "--density: 'few'"),
        (["train", "--densities", "0.1,0.2,-1"], "--densities: '-1' is not a number from 0 to 1"),
        (["train", "--epochs", "0"], "--epochs: '0' is not a whole number of at least 1"),
        (["train", "--epochs", "1.5"], "--epochs: '1.5'"),
        (["train", "--batch-size", "0"], "--batch-size: '0'"),
        (["train", "--load-weights", "nowhere.npz"], "--load-weights: there is no file nowhere.npz"),
        (["train", "--momentum", "1"], "--momentum: '1' is not a number from 0 to below 1"),
        (["train", "--weight-decay", "-0.1"], "--weight-decay: '-0.1'"),
        (["train", "--learning-rate", "0"], "--learning-rate: '0' is not a number above 0"),
        (["train", "--learning-rate", "inf"], "--learning-rate: 'inf'"),
        (["train", "--learning-rate", "-1e-3"], "--learning-rate: '-1e-3'"),
        (["train", "--milestones", "75,50"], "--milestones: '75,50' does not ascend"),
        (["train", "--milestones", "5,5"], "--milestones: '5,5' does not ascend"),
        (["train", "--milestones", "-1,5"], "--milestones: '-1'"),
        (["train", "--gamma", "0"], "--gamma: '0'"),
        (["train", "--threads", "0"], "--threads: '0'"),
        (["train", "--threads", "100000"], "--threads: '100000'"),
        (["train", "--seed", "-1"], "--seed: '-1'"),
        (["train", "--label-smoothing", "1"], "--label-smoothing: '1' is not a number from 0"),
        (["train", "--save-weights", "/nowhere/w.npz"], "--save-weights: /nowhere/w.npz is no file in a folder"),
        (["train", "--save-weights", "/"], "--save-weights: / is no file in a folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_values_are_one_line_and_code_2(command, tmp_path, monkeypatch, argv, complaint):
    monkeypatch.chdir(tmp_path)
    assert_refused(command(*argv), argv, complaint)
    assert list(tmp_path.iterdir()) == []
