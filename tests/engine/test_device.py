"""Which device a trainer takes, told with GPUs that are not there, and what it reads of them."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pynvml
import pytest
import torch

from engine.contract.config import resolve
from engine.contract.errors import UserError
from engine.machine import usage
from engine.machine.device import open_device
from engine.machine.parallel import Workers
from engine.model.quick_gelu import QuickGELU, lighten
from tests.support.training import small_config


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """The devices that were made the current one."""
    current: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H100")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    return current


@pytest.mark.parametrize(
    ("wanted", "rank", "found"), [("auto", "2", 2), ("cuda", "3", 3), ("cuda", None, 0), ("cuda:1", None, 1)]
)
def test_each_process_of_a_run_takes_its_own_gpu(
    four_gpus: list[torch.device], monkeypatch: pytest.MonkeyPatch, wanted: str, rank: str | None, found: int
) -> None:
    monkeypatch.setenv("LOCAL_RANK", rank) if rank else monkeypatch.delenv("LOCAL_RANK", raising=False)
    device = open_device(resolve("ce", device=wanted, threads=1))
    assert device.torch == torch.device("cuda", found) == four_gpus[0]
    assert device.compute == torch.bfloat16


def test_a_gpu_that_is_not_there_is_named(four_gpus: list[torch.device]) -> None:
    with pytest.raises(UserError, match="no device cuda:9: this machine has cuda:0 to cuda:3"):
        open_device(resolve("ce", device="cuda:9", threads=1))


def test_float32_is_float32(hands: Path) -> None:
    open_device(small_config("ce", hands, train__precision="float32"))
    assert not torch.backends.cuda.matmul.allow_tf32
    open_device(small_config("ce", hands))
    assert torch.backends.cuda.matmul.allow_tf32


def test_a_batch_that_cannot_be_shared_evenly_is_refused_with_the_way_out() -> None:
    Workers(size=4).check(64)
    with pytest.raises(UserError, match=r"3 GPUs cannot share a batch of 64 images evenly: .*multiple of 3"):
        Workers(size=3).check(64)


def test_a_reading_that_a_gpu_refuses_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: object) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(usage, "_nvml_handle", object)
    monkeypatch.setattr("engine.machine.usage.nvml", lambda: pynvml)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", refuse)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", refuse)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetPowerUsage", lambda handle: 71_000)
    values = usage.SystemProbe().read()
    assert values["gpu_power"] == 71.0
    assert {"cpu", "rss"} <= values.keys() and "gpu_util" not in values


def test_the_lighter_quick_gelu_is_open_clips_under_the_same_names() -> None:
    tower = open_clip.create_model("ViT-B-32-quickgelu").visual.transformer.resblocks[0].double()
    x = torch.randn(3, 2, 768, dtype=torch.float64, requires_grad=True)
    names, before = list(tower.state_dict()), tower(x)
    (slope,) = torch.autograd.grad(before.sum(), x)
    lighten(tower)
    assert any(isinstance(module, QuickGELU) for module in tower.modules())
    assert list(tower.state_dict()) == names
    torch.testing.assert_close(tower(x), before, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.autograd.grad(tower(x).sum(), x)[0], slope, rtol=0, atol=1e-12)
