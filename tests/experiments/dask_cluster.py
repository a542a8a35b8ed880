"""A Dask cluster of processes of this machine, whose workers can be killed."""

import json
import os
import subprocess
import sys
import time


class Cluster:
    """A scheduler and its workers, of one thread each; a context."""

    def __init__(self, folder, workers=2, **settings):
        self._folder, self._count = folder, workers
        self._environment = {**os.environ, **settings}
        self.workers = []

    def __enter__(self):
        file = self._folder / "scheduler.json"
        quiet = ["--no-dashboard", "--host", "127.0.0.1"]
        self._scheduler = self._start("dask_scheduler", "--port", "0", "--scheduler-file", str(file), *quiet)
        deadline = time.monotonic() + 120
        while not file.exists() or not file.read_text().endswith("}"):
            assert time.monotonic() < deadline, "the scheduler did not start"
            time.sleep(0.05)
        self.address = json.loads(file.read_text())["address"]
        for _ in range(self._count):
            self.add()
        return self

    def add(self):
        """Start one more worker."""
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
        self.workers.append(self._start("dask_worker", self.address, *options))

    def __exit__(self, *_):
        for process in [*self.workers, self._scheduler]:
            process.kill()
            process.wait()

    def _start(self, name, *options):
        with open(self._folder / f"{name}-{len(self.workers)}.log", "wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{name}", *options],
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
