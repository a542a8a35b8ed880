"""The peak performance of one core: multiply-adds per second, and bytes per second read from each level of memory.

probe.c is compiled on first use. Each figure is the best of several short repetitions, since a disturbance can only
make them slower.

A product with a sparse matrix reads one row of the batch for each weight: 4 bytes (8 in float64) for two operations.
Its ceiling is the rate at which these rows are read from L2; kernels that keep rows in L1 may exceed it.
"""

import ctypes
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.compiled import library

SOURCE = Path(__file__).with_suffix(".c")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
FALLBACK = {"L1": 32 << 10, "L2": 1 << 20, "L3": 32 << 20}
REPETITIONS, SECONDS = 7, 0.02
MAX_BYTES = 256 << 20  # read from memory, however large L3 is


@dataclass(frozen=True)
class Probe:
    """The peak of one core: GFLOP/s by dtype, GB/s by level of memory; and the bytes of each cache."""

    instruction_set: str
    fma: dict[str, float]
    read: dict[str, float]
    caches: dict[str, int] = field(default_factory=dict)

    def sparse_ceiling(self, dtype: npt.DTypeLike, threads: int) -> float:
        """Return the GFLOP/s of products that read a row from L2 for each non-zero."""
        return threads * 2 * self.read["L2"] / np.dtype(dtype).itemsize

    def ceiling(self, sparse: bool, dtype: npt.DTypeLike, threads: int) -> float:
        """Return the GFLOP/s that a workload can reach; a dense one is bounded by the fused multiply-adds."""
        return self.sparse_ceiling(dtype, threads) if sparse else threads * self.fma[np.dtype(dtype).name]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, entries: dict[str, Any]) -> "Probe":
        """Return the probe with the fields that `as_dict` returned."""
        return cls(**entries)


def probe() -> Probe:
    """Measure this machine, in about two seconds."""
    level = "x86-64-v4" if " avx512f " in _flags() else "x86-64-v3"
    core = library(SOURCE, ["-O3", f"-march={level}", "-ffp-contract=fast"])
    for name in ("probe_fma_float", "probe_fma_double"):
        getattr(core, name).argtypes, getattr(core, name).restype = [ctypes.c_long], ctypes.c_double
    core.probe_read.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long]
    core.probe_read.restype = ctypes.c_int64
    width, chains = core.probe_width(), core.probe_chains()
    fma = {
        "float32": _best(core.probe_fma_float) * chains * (width // 4) * 2 / 1e9,
        "float64": _best(core.probe_fma_double) * chains * (width // 8) * 2 / 1e9,
    }
    caches = cache_sizes()
    # Half of a cache, so that other data does not evict it; and several times the last cache.
    sizes = {name: size // 2 for name, size in caches.items()} | {"memory": min(MAX_BYTES, 4 * caches["L3"])}
    read = {}
    for name, size in sizes.items():
        size -= size % (8 * width)
        raw = np.ones(size + 4096, np.uint8)
        address = raw.ctypes.data + -raw.ctypes.data % 4096
        read[name] = _best(partial(core.probe_read, address, size)) * size / 1e9
    return Probe(level, fma, read, caches)


def cache_sizes() -> dict[str, int]:
    """Return the bytes of the first core's L1 data cache, L2 and L3; common sizes if the system does not tell."""
    sizes = dict(FALLBACK)
    for index in CACHES.glob("index*"):
        try:
            kind, level, size = ((index / name).read_text().strip() for name in ("type", "level", "size"))
        except OSError:
            continue
        if kind in ("Data", "Unified") and size.endswith("K"):
            sizes[f"L{level}"] = int(size[:-1]) << 10
    return {name: sizes[name] for name in FALLBACK}


def _best(work: Callable[[int], object]) -> float:
    """Return the iterations per second of work(n), which runs n iterations."""
    times, seconds = 1, 0.0
    while seconds < SECONDS:
        times = max(2 * times, int(1.2 * times * SECONDS / seconds)) if seconds else times
        seconds = _seconds(work, times)
    return times / min(_seconds(work, times) for _ in range(REPETITIONS))


def _seconds(work: Callable[[int], object], times: int) -> float:
    started = time.perf_counter()
    work(times)
    return time.perf_counter() - started


def _flags() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line + " " for line in lines if line.startswith("flags")), "")
