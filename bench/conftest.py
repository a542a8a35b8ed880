"""Options and fixtures of `pytest bench`, which collects timings/bench_*.py and does not skip benchmarks."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness.pairs import PATIENCE, ROUNDS, Pairs
from harness.peer import Peer, installed
from harness.probe import Probe, probe
from harness.records import Record, Table, Unit, records
from harness.tables import comparison, environment
from nerva.experiments.cores import allowed
from nerva.experiments.workers import rest

TABLES = pytest.StashKey[dict[str, Table]]()
TEXTS = pytest.StashKey[list[str]]()
Compare = Callable[..., list[Record]]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("nerva")
    group.addoption("--threads", type=int, default=min(2, len(allowed())), help="threads of every peer")
    group.addoption("--rounds", type=int, default=ROUNDS, help="rounds, at least 2")
    group.addoption("--patience", type=float, default=PATIENCE, help="seconds to repeat disturbed rounds")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.option.benchmark_skip = False
    config.addinivalue_line("python_files", "bench_*.py")
    config.stash[TABLES], config.stash[TEXTS] = {}, []


@pytest.fixture(scope="session")
def pairs(request: pytest.FixtureRequest) -> Iterator[Pairs]:
    """The peers, each in a process of its own."""
    option = request.config.option
    with Pairs([option.threads], option.rounds, option.patience) as started:
        yield started


@pytest.fixture(scope="session")
def machine() -> Probe:
    """The peak of one core."""
    return probe()


@pytest.fixture
def compared(benchmark: Any, pairs: Pairs, machine: Probe, request: pytest.FixtureRequest) -> Compare:
    """Time the first peer with pytest-benchmark in this process, and all of them in pairs; extra_info has the rows."""

    def compare(table: str, row: str, peers: Sequence[type[Peer]], work: object, unit: Unit = "ms") -> list[Record]:
        peers, (threads,) = installed(peers), pairs.threads
        reason = peers[0].unsupported(work)
        if reason:
            pytest.skip(reason)
        ours = peers[0](work, threads)  # type: ignore[call-arg]
        benchmark.group = table
        if ours.long:
            benchmark.pedantic(getattr(ours, ours.timed), rounds=1)
        else:
            benchmark(getattr(ours, ours.timed))
        del ours
        rest()
        (measurement,) = pairs.measure(peers, work)
        found = records(row, work, measurement, machine)
        benchmark.extra_info.update(rows=found, environment=environment(peers, [threads]), probe=machine.as_dict())
        request.config.stash[TABLES].setdefault(table, Table(table, unit)).rows += found
        return found

    return compare


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print a text at the end of the run."""
    return request.config.stash[TEXTS].append


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for text in [*(comparison(vars(table)) for table in config.stash[TABLES].values()), *config.stash[TEXTS]]:
        terminalreporter.write_line(f"\n{text}")
