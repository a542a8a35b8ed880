"""Files of costs: where they are, that they come back whole, and many writers at once."""

import threading
from dataclasses import asdict
from pathlib import Path

from nerva.backends.cost_files import cache_file, load, save

from ..reference import made_up


def test_where_it_is_kept(tmp_path, monkeypatch):
    def place():
        return cache_file("float32").parent

    monkeypatch.setenv("NERVA_CACHE", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert place() == tmp_path / "mine"
    monkeypatch.setenv("NERVA_CACHE", "")
    assert place() == tmp_path / "xdg" / "nerva"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert place() == tmp_path / "home" / ".cache" / "nerva"

    def no_home():
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", no_home)
    assert cache_file("float32") is None
    assert load(None, {"nerva": 1}) is None
    save(None, {}, made_up())


def test_many_may_write_at_once(folder):
    """Whoever reads meanwhile finds the whole of one of them, or nothing."""
    path, about = folder / "costs.json", {"nerva": "1"}
    written, wrong = [made_up(mkl=n) for n in range(2, 6)], []
    done = threading.Event()

    def write(costs):
        for _ in range(100):
            save(path, about, costs)

    def read():
        while not done.is_set():
            if path.exists() and load(path, about) not in written:
                wrong.append(path.read_text())

    writers = [threading.Thread(target=write, args=(costs,)) for costs in written]
    reader = threading.Thread(target=read)
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert not wrong
    assert list(folder.iterdir()) == [path]


def test_costs_come_back_to_the_last_bit(folder):
    path, costs = folder / "costs.json", made_up(dense=1 / 3, mkl=0.1)
    save(path, {}, costs)
    assert asdict(load(path, {})) == asdict(costs)
