"""NVIDIA's library is opened in one place, once; where it cannot be, there is none."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from engine.contract.nvml import nvml


def test_the_library_is_opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    library: Any = ModuleType("pynvml")
    library.nvmlInit = lambda: opened.append(1)
    monkeypatch.setitem(sys.modules, "pynvml", library)
    nvml.cache_clear()
    assert nvml() is library and nvml() is library
    assert opened == [1]
    nvml.cache_clear()


@pytest.mark.parametrize("error", [OSError("no libnvidia-ml.so"), RuntimeError("driver too old")])
def test_a_driver_that_refuses_means_none(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse() -> None:
        raise error

    library: Any = ModuleType("pynvml")
    library.nvmlInit = refuse
    monkeypatch.setitem(sys.modules, "pynvml", library)
    nvml.cache_clear()
    assert nvml() is None
    nvml.cache_clear()
