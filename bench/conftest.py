"""Lets `pytest bench` find and run the benchmarks, which the project's own options skip elsewhere."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from pairs import PATIENCE, ROUNDS, Measurement, Pairs
from peers import Peer, installed
from tables import comparison, surroundings
from workers import rest

TABLES = pytest.StashKey[dict[str, dict[str, Measurement]]]()
Record = Callable[[str, str, Sequence[type[Peer]], object], Measurement]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("nerva")
    group.addoption("--threads", type=int, default=min(2, os.cpu_count() or 1), help="threads of every peer")
    group.addoption("--rounds", type=int, default=ROUNDS, help="turns of every peer, at least 2")
    group.addoption("--patience", type=float, default=PATIENCE, help="seconds to wait for quiet, in each benchmark")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.option.benchmark_skip = False
    config.addinivalue_line("python_files", "bench_*.py")
    config.stash[TABLES] = {}


@pytest.fixture(scope="session")
def pairs(request: pytest.FixtureRequest) -> Iterator[Pairs]:
    """The peers, each in its process."""
    option = request.config.option
    with Pairs(option.threads, option.rounds, option.patience) as started:
        yield started


@pytest.fixture
def compared(benchmark: Any, pairs: Pairs, request: pytest.FixtureRequest) -> Record:
    """Time the first peer here with pytest-benchmark, and all of them in pairs; keep the ratios in extra_info."""

    def compare(table: str, row: str, peers: Sequence[type[Peer]], work: object) -> Measurement:
        peers = installed(peers)
        ours = peers[0](work, pairs.threads)  # type: ignore[call-arg]
        benchmark.group = table
        benchmark(getattr(ours, ours.timed))
        rest()
        measurement = pairs.measure(peers, work)
        benchmark.extra_info.update(
            surroundings=surroundings(peers, pairs.threads),
            seconds={result.peer.name: result.seconds for result in measurement.results},
            ratios={result.peer.name: result.ratio for result in measurement.results[1:]},
            quartiles={result.peer.name: (result.low, result.high) for result in measurement.results[1:]},
            disturbed=measurement.disturbed,
        )
        request.config.stash[TABLES].setdefault(table, {})[row] = measurement
        return measurement

    return compare


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for table, rows in config.stash[TABLES].items():
        terminalreporter.write_line(f"\n{comparison(table, rows)}")
