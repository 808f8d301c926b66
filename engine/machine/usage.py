"""How busy the machine is: this process's CPU and memory, and its GPU through NVML."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import psutil
import torch

from engine.contract.nvml import nvml


class SystemProbe:
    """Shares in [0, 1], memory in bytes, power in watts."""

    def __init__(self) -> None:
        self.process = psutil.Process()
        self.process.cpu_percent()
        self.gpu = _nvml_handle()

    def read(self) -> dict[str, float]:
        """The values of a `system` event; the GPU's only where there is one."""
        cores = psutil.cpu_count() or 1
        values = {"cpu": self.process.cpu_percent() / 100 / cores, "rss": float(self.process.memory_info().rss)}
        library = nvml()
        if library is None or self.gpu is None:
            return values
        readings: dict[str, Callable[[], float]] = {
            "gpu_util": lambda: library.nvmlDeviceGetUtilizationRates(self.gpu).gpu / 100,
            "gpu_memory": lambda: float(library.nvmlDeviceGetMemoryInfo(self.gpu).used),
            "gpu_power": lambda: library.nvmlDeviceGetPowerUsage(self.gpu) / 1000,
        }
        for name, reading in readings.items():
            with suppress(library.NVMLError):  # a part of a GPU tells less
                values[name] = reading()
        return values


def _nvml_handle() -> object | None:
    if not (torch.cuda.is_available() and torch.cuda.is_initialized()) or not (library := nvml()):
        return None
    try:
        handle: object = library.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties().uuid}".encode())
        return handle
    except Exception:  # an old driver, a partitioned card: training goes on without the figures
        return None
