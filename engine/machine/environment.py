"""What a run ran on: versions, code, machine, device. Kept in `environment.json`."""

from __future__ import annotations

import platform
import socket
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from engine.contract.nvml import nvml
from engine.machine.device import Device, cpu_capabilities

PACKAGES = ("handreid", "torch", "torchvision", "open_clip_torch", "numpy", "pillow", "safetensors")


def describe_environment(device: Device) -> dict[str, Any]:
    return {
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in PACKAGES},
        "code": _git_state(Path(__file__).parent),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "cpu": cpu_capabilities().get("cpu_name") or platform.processor(),
        "threads": torch.get_num_threads(),
        "device": device.name,
        "compute": str(device.compute).removeprefix("torch."),
        "cuda": torch.version.cuda if device.torch.type == "cuda" else None,
        "driver": _driver() if device.torch.type == "cuda" else None,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and whether the tree differs from it; None where the code is not a checkout of its own."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "changed": bool(_git(folder, "status", "--porcelain", "--", "."))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    asked = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=5, check=True)
    return asked.stdout.strip()


def _driver() -> str | None:
    if library := nvml():
        with suppress(library.NVMLError):
            return str(library.nvmlSystemGetDriverVersion())
    return None
