"""Where a run computes: the device, its threads, and the precision that is fast on it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch import device as TorchDevice
from torch import dtype as DType
from torch.nn.attention import SDPBackend, sdpa_kernel

from engine.contract.config import RunConfig
from engine.contract.errors import UserError


@dataclass(frozen=True)
class Device:
    """A torch device and the type that the encoder computes in; weights, necks and losses stay float32."""

    torch: TorchDevice
    compute: DType
    name: str

    @contextlib.contextmanager
    def precision(self) -> Iterator[None]:
        """The context for the encoder's forward pass."""
        with contextlib.ExitStack() as stack:
            if self.compute != torch.float32:
                stack.enter_context(torch.autocast(self.torch.type, dtype=self.compute))
                if self.torch.type == "cpu":
                    # the fused attention's backward pass is 3x slower in bfloat16 on a CPU than the plain one
                    stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            yield


def send(values: Tensor, device: TorchDevice) -> Tensor:
    """`values` on `device`. Where that is a GPU, from pinned memory, so that the host does not wait for its turn."""
    if device.type == "cuda" and not values.is_cuda:
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def open_device(config: RunConfig) -> Device:
    """The device that the configuration asks for, with its threads and determinism set.

    Raises UserError where it asks for a GPU that is not there.
    """
    device = _choose(config.device)
    torch.set_num_threads(config.threads or os.cpu_count() or 1)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = config.train.precision == "auto"
    if config.train.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
    else:
        torch.backends.cudnn.benchmark = True
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return Device(device, _compute_type(config.train.precision, device), name)


def _choose(wanted: str) -> torch.device:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device = torch.device("cuda" if wanted == "auto" and count else "cpu" if wanted == "auto" else wanted)
    if device.type != "cuda":
        return device
    if not count:
        raise UserError(f"This machine has no GPU for {wanted}: use cpu, or see `handreid doctor`.", "device")
    of_this_process = int(os.environ.get("LOCAL_RANK", "0"))
    index = of_this_process if device.index is None else device.index
    if index >= count:
        raise UserError(f"There is no device cuda:{index}: this machine has cuda:0 to cuda:{count - 1}.", "device")
    return torch.device("cuda", index)


def cpu_capabilities() -> dict[str, Any]:
    """What PyTorch reports of the CPU: its name and instruction sets; empty in versions that do not report it."""
    return dict(getattr(torch.cpu, "get_capabilities", dict)())


def _compute_type(precision: str, device: torch.device) -> torch.dtype:
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    fast = cpu_capabilities()
    return torch.bfloat16 if fast.get("avx512_bf16") or fast.get("amx_bf16") else torch.float32
