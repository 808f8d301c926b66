"""How busy the machine's GPUs are, or its processor where it has none. Called in a thread only."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

from engine.contract.nvml import nvml


@dataclass(frozen=True)
class Device:
    """`long` and `short`: how busy the device is, in a few words. `gpu`: whether it is one."""

    long: str
    short: str
    gpu: bool = False


class Devices:
    """Reads NVML where it is there, else the load of the processor."""

    def __init__(self) -> None:
        self._nvml = nvml()

    def read(self) -> tuple[Device, ...]:
        with suppress(Exception):
            if self._nvml and (count := self._nvml.nvmlDeviceGetCount()):
                return tuple(self._gpu(n) for n in range(count))
        return (_processor(),)

    def _gpu(self, number: int) -> Device:
        handle = self._nvml.nvmlDeviceGetHandleByIndex(number)
        name = self._nvml.nvmlDeviceGetName(handle)
        name = (name.decode() if isinstance(name, bytes) else name).removeprefix("NVIDIA ").split(" ")[0]
        busy = self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu
        memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
        used, total = memory.used / 1e9, memory.total / 1e9
        return Device(f"GPU{number} {name} {busy}% {used:.0f}/{total:.0f} GB", f"GPU{number} {busy}%", True)


def _processor() -> Device:
    import psutil

    busy = psutil.cpu_percent()
    memory = psutil.virtual_memory()
    used, total = (memory.total - memory.available) / 1e9, memory.total / 1e9
    text = f"CPU {busy:.0f}%"
    return Device(f"{os.cpu_count()}-core {text}  {used:.0f}/{total:.0f} GB", text)
