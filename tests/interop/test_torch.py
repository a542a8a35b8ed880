"""Without PyTorch, what needs it says so."""

import sys

import pytest

import nerva
import nerva.torch


def test_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"nerva-sparse\[torch\]"):
        nerva.from_torch({})
    with pytest.raises(ImportError, match=r"nerva-sparse\[torch\]"):
        nerva.to_torch(nerva.MLP([3, 2]))
    with pytest.raises(ImportError, match=r"nerva-sparse\[torch\]"):
        _ = nerva.torch.SparseLinear
