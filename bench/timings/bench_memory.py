"""The memory of 8192-8192-8192 in training, 99 % sparse: the step is timed, the bytes are in extra_info."""

from collections.abc import Callable
from typing import Any

import pytest

import nerva
from harness import memory
from harness.workloads import BATCH, RATE, SPARSITY


def test_memory(benchmark: Any, report: Callable[[str], None], request: pytest.FixtureRequest) -> None:
    found = memory.footprints()
    nerva.set_num_threads(request.config.option.threads)
    model, optimizer = nerva.MLP(memory.SIZES, density=1.0 - SPARSITY), nerva.Nesterov(0.9)
    X, y = memory.batch(memory.SIZES)
    benchmark.pedantic(model.train_step, (X, y, optimizer, RATE), rounds=5, warmup_rounds=1)
    benchmark.group = f"memory, batch {BATCH}"
    benchmark.extra_info.update(
        footprints=[vars(footprint) for footprint in found],
        ratios={other.name: other.resident / found[0].resident for other in found[1:]},
    )
    report(memory.table(found))
