"""Rounds of turns: what counts, and what is kept apart."""

import itertools

import pytest


@pytest.fixture
def pairs(monkeypatch):
    """A function that measures two made-up peers on one and two threads, by the turns that it is given.

    `turns` yields (seconds, contention, distance before, distance after) for each turn after the preparation.
    """
    from harness import pairs
    from harness.peer import Peer
    from nerva.experiments.workers import Times

    class Ours(Peer):
        name, timed, long = "ours", "run", True

    class Theirs(Ours):
        name = "theirs"

        @classmethod
        def fraction(cls, work):
            return 0.5

    def measure(turns, threads=(2,), rounds=3, patience=0.0):
        source, prepared, state = iter(turns), itertools.count(), {}
        jobs = 2 * len(threads)

        class Worker:
            def make(self, kind, work, threads):
                pass

            def times(self, method, count, threads, warm_up):
                if next(prepared) < jobs:
                    return Times([0.001], 0.0)
                return Times([state["turn"][0]], state["turn"][1])

            def close(self):
                state["closed"] = state.get("closed", 0) + 1

        def distance():
            if "turn" not in state or state.pop("after", None):
                state["turn"] = next(source)
                return state["turn"][2]
            state["after"] = True
            return state["turn"][3]

        monkeypatch.setattr(pairs, "Worker", Worker)
        monkeypatch.setattr(pairs, "distance", distance)
        with pairs.Pairs(threads, rounds, patience) as started:
            found = started.measure([Ours, Theirs], None)
        assert state["closed"] == jobs
        return found

    return measure


def test_ratios_are_of_the_whole_workload_and_paired(pairs):
    quiet = [(s, 0.0, "near", "near") for s in (1.0, 4.0, 8.0, 2.0, 1.0, 6.0)]  # every other round in reverse order
    (found,) = pairs(quiet)
    (group,) = found.groups
    assert (found.threads, group.apart, group.rounds, group.disturbed) == (2, "near", 3, 0)
    ours, theirs = group.results
    assert (ours.seconds, ours.ratio) == (1.0, 1.0)
    assert (theirs.seconds, theirs.ratio, theirs.low, theirs.high) == (12.0, 8.0, 8.0, 10.0)


def test_no_round_is_dropped_because_it_was_slow(pairs):
    (found,) = pairs([(s, 0.1, "near", "near") for s in (1.0, 1.0, 1.0, 100.0, 1.0, 100.0)])
    assert [(group.rounds, group.disturbed) for group in found.groups] == [(3, 0)]
    assert found.groups[0].results[0].seconds == 1.0


def test_a_round_in_which_another_process_ran_is_dropped_counted_and_repeated(pairs):
    disturbed = [(50.0, 0.9, "near", "near"), (1.0, 0.0, "near", "near")]
    quiet = [(1.0, 0.0, "near", "near")] * 6
    (found,) = pairs([*disturbed, *quiet], patience=60.0)
    (group,) = found.groups
    assert (group.rounds, group.disturbed) == (4, 1)
    assert group.results[0].seconds == 1.0


def test_without_patience_disturbed_rounds_are_not_repeated(pairs):
    (found,) = pairs([(2.0, 0.9, "near", "near")] * 6)
    (group,) = found.groups
    assert (group.rounds, group.disturbed) == (3, 3)
    assert group.results[0].seconds == 2.0  # there is nothing better


def test_near_far_and_mixed_rounds_have_medians_of_their_own(pairs):
    rounds = [
        [(1.0, 0.0, "near", "near")] * 2,
        [(3.0, 0.0, "far", "far")] * 2,
        [(2.0, 0.0, "far", "near"), (2.0, 0.0, "near", "near")],
        [(2.5, 0.0, "near", "near"), (2.5, 0.0, "far", "far")],
    ]
    (found,) = pairs(itertools.chain(*rounds), rounds=4)
    apart = {group.apart: (group.rounds, group.results[0].seconds) for group in found.groups}
    assert apart == {"near": (1, 1.0), "far": (1, 3.0), "mixed": (2, 2.25)}


def test_each_number_of_threads_is_measured_in_every_round(pairs):
    # On one thread, another process may use the other core: its rounds count, those of two threads do not.
    turns = [(1.0, 0.0, "near", "near"), (0.6, 0.9, "near", "near")] * 2
    back = turns[::-1]
    one, two = pairs([*turns, *back, *turns], threads=(1, 2))
    assert (one.threads, one.groups[0].rounds, one.groups[0].disturbed) == (1, 3, 0)
    assert (two.threads, two.groups[0].rounds, two.groups[0].disturbed) == (2, 3, 3)
    assert (one.groups[0].results[0].seconds, two.groups[0].results[0].seconds) == (1.0, 0.6)
