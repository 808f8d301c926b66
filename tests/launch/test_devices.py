"""Which device a run gets: GPUs, parts of them, the CPU, what other people use, CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from engine.contract.errors import UserError
from handreid_tui.launch import devices, file_locks
from handreid_tui.launch.devices import Gpu, Lease, check, visible_gpus, why_waiting
from handreid_tui.launch.queue import Waiting

GIB = 1 << 30
GPUS = [Gpu(index, f"GPU-{letter * 8}", "H200", 80 * GIB, 80 * GIB) for index, letter in enumerate("abcd")]


@pytest.fixture(autouse=True)
def locks_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDREID_LOCKS", str(tmp_path / "locks"))


def run(tmp_path: Path, device: str = "auto", **asked: object) -> Waiting:
    path = tmp_path / "runs" / "0001-ce"
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps({"device": device}))
    return replace(Waiting(path), **asked)


def take(run: Waiting, gpus: list[Gpu] = GPUS) -> Lease | None:
    return devices.take(run, gpus)


def shown(lease: Lease | None) -> str | None:
    return lease and lease.environment.get("CUDA_VISIBLE_DEVICES")


def test_each_lease_is_another_gpu_until_none_is_left(tmp_path: Path) -> None:
    leases = [take(run(tmp_path)) for _ in range(4)]
    assert [shown(lease) for lease in leases] == [gpu.uuid for gpu in GPUS]
    assert take(run(tmp_path)) is None
    assert "GPU 3 is in use by another run" in why_waiting(run(tmp_path), GPUS)
    leases[2].close()
    assert why_waiting(run(tmp_path), GPUS) == ""
    assert shown(take(run(tmp_path))) == GPUS[2].uuid


def test_a_lease_lasts_until_the_last_process_that_inherited_it_is_dead(tmp_path: Path) -> None:
    lease = take(run(tmp_path), GPUS[:1])
    heir = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=lease.locks)
    lease.close()
    assert take(run(tmp_path), GPUS[:1]) is None
    heir.kill()
    heir.wait()
    assert take(run(tmp_path), GPUS[:1])


def test_two_halves_share_a_gpu_and_fill_it(tmp_path: Path) -> None:
    halves = [take(run(tmp_path, gpus=0.5)) for _ in range(3)]
    assert [shown(half) for half in halves] == [GPUS[0].uuid, GPUS[0].uuid, GPUS[1].uuid]
    assert "0.5 of it" in halves[0].device
    assert shown(take(run(tmp_path))) == GPUS[2].uuid
    assert shown(take(run(tmp_path, gpus=1 / 3))) == GPUS[1].uuid
    assert shown(take(run(tmp_path, gpus=0.25))) == GPUS[3].uuid


def test_a_run_of_two_gpus_gets_both_or_waits_without_holding_one(tmp_path: Path) -> None:
    assert shown(take(run(tmp_path, gpus=2))) == f"{GPUS[0].uuid},{GPUS[1].uuid}"
    alone = take(run(tmp_path))
    assert take(run(tmp_path, gpus=2)) is None
    assert shown(take(run(tmp_path))) == GPUS[3].uuid
    alone.close()


def test_a_named_gpu_is_waited_for_and_keeps_its_number_inside_the_run(tmp_path: Path) -> None:
    lease = take(run(tmp_path, "cuda:1"))
    assert lease.device == "GPU 1 H200"
    assert shown(lease) == ",".join(gpu.uuid for gpu in GPUS)
    assert take(run(tmp_path, "cuda:1")) is None
    assert why_waiting(run(tmp_path, "cuda:1"), GPUS) == "GPU 1 is in use by another run"
    assert shown(take(run(tmp_path))) == GPUS[0].uuid


def test_gpus_that_others_use_are_left_alone_but_for_a_run_that_names_one(tmp_path: Path) -> None:
    busy = [replace(GPUS[0], users=("alice",)), replace(GPUS[1], free=20 * GIB), GPUS[2]]
    assert shown(take(run(tmp_path), busy)) == GPUS[2].uuid
    assert take(run(tmp_path), busy) is None
    assert why_waiting(run(tmp_path), busy) == (
        "GPU 0 is used by alice; GPU 1 has only 20.0 of 80.0 GiB free; GPU 2 is in use by another run"
    )
    assert shown(take(run(tmp_path, gpus=0.25), busy)) == GPUS[1].uuid
    assert take(run(tmp_path, "cuda:0"), busy)


@pytest.mark.parametrize(
    ("visible", "indices"),
    [
        (None, [0, 1, 2, 3]),
        ("2,0", [2, 0]),
        ("GPU-bbbb, 3", [1, 3]),
        ("1,9,2", [1]),
        ("1,1", [1]),
        ("", []),
        ("-1", []),
        ("GPU-", []),
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(visible: str | None, indices: list[int]) -> None:
    assert [gpu.index for gpu in visible_gpus(GPUS, visible)] == indices


def test_numbers_count_within_what_is_visible(tmp_path: Path) -> None:
    lease = take(run(tmp_path, "cuda:1", visible="2,3"))
    assert (lease.device, shown(lease)) == ("GPU 3 H200", f"{GPUS[2].uuid},{GPUS[3].uuid}")
    assert shown(take(run(tmp_path, visible="3,2"))) == GPUS[2].uuid


def test_the_cpu_takes_as_many_runs_as_parallel_says(tmp_path: Path) -> None:
    first = take(run(tmp_path, "cpu"))
    assert (first.device, shown(first)) == ("CPU", "")
    assert take(run(tmp_path, "cpu")) is None
    assert why_waiting(run(tmp_path, "cpu"), GPUS) == "1 run is using the CPU"
    assert take(run(tmp_path, "cpu", parallel=2))
    assert take(run(tmp_path, "cpu", parallel=2)) is None
    first.close()
    assert why_waiting(run(tmp_path, "cpu"), GPUS) == ""


def test_without_a_gpu_auto_takes_the_cpu_and_leaves_the_environment_alone(tmp_path: Path) -> None:
    lease = take(run(tmp_path), [])
    assert (lease.device, lease.environment) == ("CPU", {})


@pytest.mark.parametrize(("device", "gpus"), [("cuda:7", GPUS), ("cuda", [])])
def test_a_run_that_asks_for_what_is_not_there_is_let_through_to_say_so(
    tmp_path: Path, device: str, gpus: list[Gpu]
) -> None:
    assert take(run(tmp_path, device), gpus).device == "CPU"


def test_a_run_of_more_gpus_than_there_are_waits_and_is_refused_where_it_is_launched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert take(run(tmp_path, gpus=8)) is None
    assert why_waiting(run(tmp_path, gpus=8), GPUS) == "it needs 8 GPUs, but only 4 are visible"
    monkeypatch.setenv("HANDREID_FAKE_GPUS", "4")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    check("auto", 4)
    check("cuda:1", 0.5)
    for device, gpus, told in (
        ("auto", 8, "this machine has 4"),
        ("cuda:1", 2, "not cuda:1"),
        ("cpu", 2, "not cpu"),
    ):
        with pytest.raises(UserError, match=told):
            check(device, gpus)


def test_a_trainer_has_a_process_for_each_gpu_that_is_leased_not_for_each_that_it_sees(tmp_path: Path) -> None:
    assert take(run(tmp_path, "cuda:3")).processes == 1
    assert take(run(tmp_path, gpus=3)).processes == 3
    assert take(run(tmp_path, "cpu")).processes == 1


def test_asking_whether_a_lock_is_taken_does_not_disturb_it(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    assert not file_locks.is_taken(file)
    held = file_locks.take(file, 3, 2)
    assert [file_locks.is_taken(file, place) for place in range(6)] == [False, False, False, True, True, False]
    assert file_locks.take(file, 4) is None
    assert file_locks.take(file, 5) is not None
    os.close(held)
    assert not file_locks.is_taken(file, 3, 2)


def test_a_lock_file_that_was_deleted_meanwhile_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "lock"
    seen = []

    def once_elsewhere(path: Path, descriptor: int) -> bool:
        seen.append(descriptor)
        return len(seen) > 1

    monkeypatch.setattr(file_locks, "_is_at", once_elsewhere)
    assert file_locks.take(file) is not None
    assert len(seen) == 2


def test_locks_in_a_folder_of_somebody_else_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    monkeypatch.setenv("HANDREID_LOCKS", str(tmp_path / "linked"))
    with pytest.raises(UserError, match="another user"):
        devices.lock_folder()


def test_what_nvml_tells_becomes_gpus_with_mig_instances_and_other_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver is not there in most places where tests run: this stands in for its library, in its own words."""
    nvml: Any = ModuleType("pynvml")
    boards: Any = {0: ["GPU-whole"], 1: ["MIG-one", "MIG-two"], 2: "broken"}
    nvml.NVMLError = type("NVMLError", (Exception,), {})
    nvml.NVML_DEVICE_MIG_ENABLE = 1

    def refuse(*_: object) -> None:
        raise nvml.NVMLError

    def instance(board: int, place: int) -> str:
        return boards[board][place] if place < len(boards[board]) else refuse()

    nvml.nvmlInit = lambda: None
    nvml.nvmlDeviceGetCount = lambda: 3
    nvml.nvmlDeviceGetHandleByIndex = lambda index: refuse() if index == 2 else index
    nvml.nvmlDeviceGetMigMode = lambda board: [1, 1] if board == 1 else refuse()
    nvml.nvmlDeviceGetMaxMigDeviceCount = lambda board: 7
    nvml.nvmlDeviceGetMigDeviceHandleByIndex = instance
    nvml.nvmlDeviceGetUUID = lambda handle: boards[handle][0] if isinstance(handle, int) else handle
    nvml.nvmlDeviceGetName = lambda handle: "H200"
    nvml.nvmlDeviceGetMemoryInfo = lambda handle: SimpleNamespace(total=80 * GIB, free=79 * GIB)
    nvml.nvmlDeviceGetComputeRunningProcesses = lambda handle: (
        [SimpleNamespace(pid=os.getpid()), SimpleNamespace(pid=1)] if handle == 0 else refuse()
    )
    monkeypatch.setattr("handreid_tui.launch.devices.nvml", lambda: nvml)
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    found = devices.list_gpus()
    assert [(gpu.index, gpu.uuid) for gpu in found] == [(0, "GPU-whole"), (1, "MIG-one"), (1, "MIG-two")]
    assert "root" in found[0].users and found[1].users == ()
    assert found[0].free == 79 * GIB


def test_fake_gpus_stand_in_for_those_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDREID_FAKE_GPUS", "2")
    assert [gpu.uuid for gpu in devices.list_gpus()] == ["GPU-fake-0", "GPU-fake-1"]
