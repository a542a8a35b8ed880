"""What a search tries."""

import optuna
import pytest

from nerva.experiments.space import OneOf, Range, Space, When


def test_ranges_and_choices_are_suggested_within_their_ends():
    space = Space({"rate": Range(0.01, 1.0, log=True), "size": Range(16, 64), "method": OneOf(("set", "none"))})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = [space.suggest(study.ask()) for _ in range(100)]
    assert all(list(params) == ["rate", "size", "method"] for params in found)
    assert all(0.01 <= params["rate"] <= 1 for params in found)
    assert 30 <= sum(params["rate"] < 0.1 for params in found) <= 70  # by the logarithm
    assert all(isinstance(params["size"], int) and 16 <= params["size"] <= 64 for params in found)
    assert {params["method"] for params in found} == {"set", "none"}


def test_settings_are_there_where_their_condition_holds():
    space = Space(
        {"drop": Range(0.1, 0.5), "method": OneOf(("set", "none"))}, {"drop": When("method", ("set", "rigl"))}
    )
    assert space.suggest(optuna.trial.FixedTrial({"method": "none", "drop": 0.2})) == {"method": "none"}
    assert space.suggest(optuna.trial.FixedTrial({"method": "set", "drop": 0.2})) == {"drop": 0.2, "method": "set"}
    assert str(space) == "drop=0.1..0.5, method=set,none"


def test_lists_are_told_apart():
    assert str(OneOf(("512,256", "1024"))) == "512,256/1024"


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Range(1, 1), "low is 1, which is not below high, 1"),
        (lambda: Range(0.0, 1.0, log=True), "low is 0.0; with log it must be above 0"),
        (lambda: Range(0.0, float("inf")), "high is inf"),
        (lambda: OneOf(("a",)), "a is no choice"),
        (lambda: OneOf(("a", "b", "a")), "a is there twice"),
        (lambda: Space({}), "values is empty"),
        (lambda: Space({"a": Range(0, 1)}, {"b": When("a", (0,))}), "conditions has b"),
        (lambda: Space({"a": Range(0, 1)}, {"a": When("b", (0,))}), "a: its condition is about b"),
    ],
)
def test_what_is_no_space_is_refused(make, complaint):
    with pytest.raises(ValueError, match=complaint):
        make()


@pytest.mark.parametrize("end", ["1", True, None])
def test_ends_are_numbers(end):
    with pytest.raises(TypeError, match="high is"):
        Range(0, end)
