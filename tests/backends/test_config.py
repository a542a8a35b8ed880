"""What nerva says that it runs on."""

from importlib.metadata import PackageNotFoundError

import numpy as np

import nerva
from nerva.backends import config


def test_what_it_runs_on(capsys):
    entries = nerva.config()
    assert entries["NumPy"] == np.__version__
    assert entries["nerva"] == nerva.__version__
    assert entries["threads"] == str(nerva.get_num_threads())
    assert "libmkl_rt" in entries["MKL library"]
    assert all(isinstance(value, str) and value for value in entries.values())
    nerva.show_config()
    printed = capsys.readouterr().out.splitlines()
    width = max(map(len, entries))
    assert printed == [f"{name:<{width}}  {value}" for name, value in entries.items()]


def test_without_an_installation_or_proc_nothing_fails(monkeypatch):
    def missing(*_):
        raise PackageNotFoundError

    def unreadable(*_):
        raise PermissionError

    monkeypatch.setattr("importlib.metadata.version", missing)
    monkeypatch.setattr(config.Path, "read_text", unreadable)
    entries = config.config()
    assert (entries["nerva"], entries["MKL library"]) == ("unknown", "unknown")
    assert entries["processor"]


def test_the_processor_is_told_apart_from_others_of_the_same_name(monkeypatch):
    def cpuinfo(model):
        first = f"processor\t: 0\ncpu family\t: 26\nmodel\t\t: {model}\nmodel name\t: AMD EPYC\n"
        return f"{first}\nprocessor\t: 1\nmodel\t\t: 9\n"

    monkeypatch.setattr(config.Path, "read_text", lambda path: cpuinfo(2))
    assert config.processor() == "AMD EPYC (family 26, model 2)"
    monkeypatch.setattr(config.Path, "read_text", lambda path: cpuinfo(17))
    assert config.processor() == "AMD EPYC (family 26, model 17)"
    monkeypatch.setattr(config.Path, "read_text", lambda path: "model name\t: Some CPU\n")
    assert config.processor() == "Some CPU"
