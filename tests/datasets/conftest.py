"""Fixtures of the tests of data sets: no folder of the user, a server, small versions of CIFAR-10 and CIFAR-100."""

import importlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from .sources import BATCHES, RECORDS, SIZES

# The functions have the names of their modules.
cifar = importlib.import_module("nerva.datasets.cifar10")
hundred = importlib.import_module("nerva.datasets.cifar100")


@pytest.fixture(autouse=True)
def _no_folder_of_the_user(monkeypatch, tmp_path):
    monkeypatch.delenv("NERVA_DATA", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    """Serve files of this machine: `server.files` by path, `server.requests` in order."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.requests.append(self.path)
            data = server.files.get(self.path)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.requests = {}, []
    server.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def records(monkeypatch):
    """Make batches of 20 images: the labels and pixels of each."""
    monkeypatch.setattr(cifar, "_RECORDS", RECORDS)
    monkeypatch.setattr("nerva.datasets.cifar.PIECE", 8)
    monkeypatch.delenv("NERVA_DATA", raising=False)
    rng = np.random.default_rng(0)
    return {
        name: (rng.integers(0, 10, RECORDS), rng.integers(0, 256, (RECORDS, 3072), dtype=np.uint8)) for name in BATCHES
    }


@pytest.fixture
def images(monkeypatch):
    """Make CIFAR-100 small: coarse labels, fine labels and pixels of each file."""
    monkeypatch.setattr(hundred, "_TRAIN", SIZES["train"])
    monkeypatch.setattr(hundred, "_TEST", SIZES["test"])
    monkeypatch.setattr("nerva.datasets.cifar.PIECE", 8)
    rng = np.random.default_rng(0)
    return {
        name: (rng.integers(0, 20, n), rng.integers(0, 100, n), rng.integers(0, 256, (n, 3072), dtype=np.uint8))
        for name, n in SIZES.items()
    }
