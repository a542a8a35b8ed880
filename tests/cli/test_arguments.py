"""The options there are, and words that are none."""

import pytest

from .running import assert_refused


def test_help_names_every_option(command):
    _, out, _ = command("train", "--help")
    expected = (
        "data data-dir augment hidden density densities distribution activation init backend epochs batch-size "
        "optimizer momentum weight-decay learning-rate milestones gamma threads dtype seed metrics quiet"
    )
    assert all(f"  --{option} " in "\n".join(out) + " " for option in expected.split())


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        ([], "nerva: name a command, train, sweep, evaluate, predict, export, summary, reproduce or info"),
        (["tain"], "invalid choice: 'tain'"),
        (["--colour"], "unknown option --colour"),
        (["info", "more"], "unexpected argument 'more'"),
        (["info", "--threads", "2"], "nerva info: unknown option --threads"),
        (["train", "--epoch", "3"], "nerva train: unknown option --epoch; did you mean --epochs?"),
        (["train", "--lr", "0.1"], "nerva train: unknown option --lr; did you mean --learning-rate?"),
        (["train", "--lr=0.1"], "nerva train: unknown option --lr; did you mean --learning-rate?"),
        (["train", "--drop-out", "0.1"], "did you mean --dropout?"),
        (["train", "--dens=0.1"], "unknown option --dens"),
        (["train", "more"], "unexpected argument 'more'"),
        (["train", "--density", "0.1", "--densities", "1,1,1"], "not allowed with"),
        (["train", "--distribution", "normal"], "--distribution: invalid choice: 'normal'"),
        (["train", "--activation", "step"], "--activation: invalid choice: 'step'"),
        (["train", "--init", "ones"], "--init: invalid choice: 'ones'"),
        (["train", "--backend", "cuda"], "--backend: invalid choice: 'cuda'"),
        (["train", "--batch-size"], "--batch-size: expected one argument"),
        (["train", "--optimizer", "golden"], "--optimizer: invalid choice: 'golden'"),
        (["train", "--dtype", "float16"], "--dtype: invalid choice: 'float16'"),
        (["train", "--loss", "mse"], "--loss: invalid choice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_words_that_are_no_options_are_one_line_and_code_2(command, tmp_path, monkeypatch, argv, complaint):
    monkeypatch.chdir(tmp_path)
    assert_refused(command(*argv), argv, complaint)
    assert list(tmp_path.iterdir()) == []
