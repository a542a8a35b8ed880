"""Downloads, from a server on this machine."""

import hashlib
import importlib
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nerva.datasets import cifar10

from .sources import ARCHIVES, check_cifar10, cifar10_files, pack

# The functions have the names of their modules.
cifar = importlib.import_module("nerva.datasets.cifar10")


@pytest.fixture
def server(tmp_path_factory, records, monkeypatch):
    """Serve a small archive from this machine, in the ways a server can."""
    path = pack(
        tmp_path_factory.mktemp("server") / "served.tar.gz", cifar10_files(records, "bin"), "cifar-10-batches-bin"
    )
    content = path.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.requests.append(self.path)
            self.send_response({"missing": 404, "broken": 500}.get(server.mode, 200))
            data = content[:-1] + b"?" if server.mode == "altered" else content
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if server.mode == "interrupted" else data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.mode, server.requests = "good", []
    monkeypatch.setattr(cifar, "_URL", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setitem(cifar._SHA256, ARCHIVES["bin"], hashlib.sha256(content).hexdigest())
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_cifar10_is_downloaded_once(tmp_path, records, server, monkeypatch):
    check_cifar10(cifar10(tmp_path), records)
    check_cifar10(cifar10(tmp_path), records)
    assert server.requests == ["/" + ARCHIVES["bin"]]
    assert os.listdir(tmp_path) == [ARCHIVES["bin"]]
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    check_cifar10(cifar10(), records)
    assert os.listdir(tmp_path / "cache" / "nerva") == [ARCHIVES["bin"]]


@pytest.mark.parametrize(
    ("mode", "error", "message"),
    [
        ("altered", ValueError, "is not the official file, so it was not kept"),
        ("missing", ConnectionError, "404"),
        ("broken", ConnectionError, "500"),
        ("interrupted", ConnectionError, "cannot download"),
    ],
)
def test_cifar10_keeps_nothing_of_a_failed_download(tmp_path, server, mode, error, message):
    server.mode = mode
    with pytest.raises(error, match=rf"http://127.*cifar-10-binary.tar.gz.*{message}|{message}.*http://127.*by hand"):
        cifar10(tmp_path)
    assert os.listdir(tmp_path) == []


def test_cifar10_says_so_when_offline(tmp_path, records, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionError, match=r"cannot download http://127.*by hand into"):
        cifar10(tmp_path)
    assert os.listdir(tmp_path) == []


def test_cifar10_names_the_folder_it_cannot_store_into(tmp_path, server, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pooch.retrieve", full)
    with pytest.raises(OSError, match=r"cannot store cifar-10-binary.tar.gz in .*No space left"):
        cifar10(tmp_path)
