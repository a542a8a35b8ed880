"""Paired measurements in rounds."""

import pytest

from nerva.experiments import rounds
from nerva.experiments.rounds import Spread, counted, in_turns, ratio, seconds
from nerva.experiments.workers import Times


def turn(seconds, others=0.0, cores="near"):
    return {"seconds": seconds, "others": others, "cores": cores}


def test_everyone_has_a_turn_a_round_in_an_order_that_is_reversed(monkeypatch):
    called, where = [], iter(["near", "near", "near", "far"] + ["far"] * 4)
    monkeypatch.setattr(rounds, "distance", lambda: next(where))

    def run(name, taken):
        return lambda: called.append(name) or Times(taken, 0.5)

    found = in_turns({"a": run("a", [3.0, 1.0, 2.0]), "b": run("b", [4.0])}, 2)
    assert called == ["a", "b", "b", "a"]
    assert found[0] == {"a": turn(2.0, 0.5), "b": turn(4.0, 0.5, "mixed")}
    assert found[1] == {"a": turn(2.0, 0.5, "far"), "b": turn(4.0, 0.5, "far")}
    assert list(found[1]) == ["a", "b"]


def test_times_are_compared_round_by_round():
    taken = [{"a": turn(s), "b": turn(t)} for s, t in ((1.0, 2.0), (10.0, 30.0), (2.0, 12.0))]
    assert seconds(taken, "a") == Spread(2.0, 1.0, 10.0)
    assert ratio(taken, "b", "a") == Spread(3.0, 2.0, 6.0)


def test_rounds_that_were_disturbed_do_not_count():
    taken = [{"a": turn(1.0), "b": turn(2.0, others)} for others in (0.0, 0.9, 0.1)]
    kept, told, quiet = counted(taken, ["a", "b"], 2)
    assert [each["b"]["others"] for each in kept] == [0.0, 0.1]
    assert (told, quiet) == ("2 of 3, near", True)
    assert counted(taken, ["a"], 2).told == "3 of 3, near"


def test_where_all_were_disturbed_all_count_and_that_is_told():
    taken = [{"a": turn(1.0, 0.5)}, {"a": turn(2.0, 0.5)}]
    assert counted(taken, ["a"], 1) == (taken, "2 of 2, disturbed", False)


def test_near_and_far_are_not_mixed():
    where = ["near", "far", "far", "mixed", "far"]
    taken = [{"a": turn(1.0, cores=cores), "b": turn(1.0, cores="far")} for cores in where]
    kept, told, quiet = counted(taken, ["a", "b"], 2)
    assert kept == [taken[1], taken[2], taken[4]]
    assert (told, quiet) == ("3 of 5, far", True)


def test_with_one_thread_it_does_not_matter_how_far_apart_the_cores_are():
    taken = [{"a": turn(1.0, cores=cores)} for cores in ("near", "far", "mixed")]
    assert counted(taken, ["a"], 1) == (taken, "3 of 3", True)


def test_what_is_not_named_does_not_disturb():
    taken = [{"a": turn(1.0), "b": turn(1.0, 2.0)}]
    kept, told, quiet = counted(taken, ["a"], 2)
    assert kept == [{"a": turn(1.0)}]
    assert (told, quiet) == ("1 of 1, near", True)


def test_a_round_without_the_name_is_an_error():
    with pytest.raises(KeyError):
        counted([{"a": turn(1.0)}], ["b"], 1)
