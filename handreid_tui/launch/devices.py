"""Which devices there are, who may use them, and the lease of one: a lock that dies with its last holder.

A GPU is free for a run when no other run leases that part of it, no other user computes on it, and three quarters of
the memory that the part stands for are free. A run that names its GPU (`cuda:1`) waits for other runs only.

    GPUs        one lock file each, for all run folders of this user on this machine; a twelfth of the GPU is a byte
    CPU         one lock file for each run folder; a run is a byte, and `parallel` says how many there may be
    HANDREID_FAKE_GPUS=4 stands in for GPUs that are not there; HANDREID_LOCKS names another folder for the locks
"""

from __future__ import annotations

import math
import os
import pwd
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract import run_files
from engine.contract.errors import UserError
from engine.contract.nvml import nvml
from handreid_tui.launch import file_locks
from handreid_tui.launch.queue import Waiting

PARTS = 12  # of a GPU: halves, thirds, quarters, sixths and twelfths fit
FREE_SHARE = 0.75  # of a part's memory: a desktop's own use must not block its only GPU


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a MIG instance of one. `index` counts as nvidia-smi does; memory in bytes; users: who else computes."""

    index: int
    uuid: str
    name: str
    memory: int
    free: int
    users: tuple[str, ...] = ()

    @property
    def lock(self) -> Path:
        return lock_folder() / f"{self.uuid}.lock"


@dataclass(frozen=True)
class Lease:
    """What a run may compute on: its name, the locks to pass on to it, and what to set in its environment.

    processes: how many the trainer has, one for each GPU that is leased; others may be visible beside them.
    """

    device: str
    locks: tuple[int, ...]
    environment: dict[str, str]
    processes: int = 1

    def close(self) -> None:
        """Give up our copies; the lease lasts as long as a process that inherited them."""
        for lock in self.locks:
            os.close(lock)


def take(run: Waiting, gpus: list[Gpu]) -> Lease | None:
    """Lease what the run asks for, out of the GPUs `gpus` of this machine; None where it has to wait.

    A run that names a GPU which is not there is let through: its trainer says so best.
    """
    visible = visible_gpus(gpus, run.visible)
    wanted = run.device
    if wanted == "cpu" or not visible:
        return _take_cpu(run, {"CUDA_VISIBLE_DEVICES": ""} if wanted == "cpu" else {})
    if named := re.fullmatch(r"cuda:(\d+)", wanted):
        return _take_named(run, visible, int(named[1]))
    return _take_any(run, visible, max(1, math.ceil(run.gpus)))


def check(device: str, gpus: float) -> None:
    """Raises UserError where this machine never has so many GPUs for a run on `device`."""
    if gpus <= 1:
        return
    if device not in ("auto", "cuda"):
        raise UserError(f"Several GPUs require the device auto or cuda, not {device}.", "gpus")
    there = len(visible_gpus(list_gpus(), os.environ.get("CUDA_VISIBLE_DEVICES")))
    if gpus > there:
        raise UserError(f"A run on {gpus:g} GPUs is not possible: this machine has {there or 'none'}.", "gpus")


def obstacle(gpu: Gpu, share: float = 1.0) -> str | None:
    """Why `share` of the GPU cannot be leased now, in words; None where it can."""
    if _free_place(gpu, _parts(share)) is None:
        return f"GPU {gpu.index} is in use by another run"
    if gpu.users:
        return f"GPU {gpu.index} is used by {', '.join(gpu.users)}"
    if gpu.free < FREE_SHARE * share * gpu.memory:
        return f"GPU {gpu.index} has only {gpu.free / 2**30:.1f} of {gpu.memory / 2**30:.1f} GiB free"
    return None


def why_waiting(run: Waiting, gpus: list[Gpu]) -> str:
    """What a run waits for, in words; "" where nothing holds it back."""
    visible = visible_gpus(gpus, run.visible)
    if run.device == "cpu" or not visible:
        busy = all(file_locks.is_taken(_cpu_lock(run), slot) for slot in range(run.parallel))
        return f"{run.parallel} run{'s are' if run.parallel > 1 else ' is'} using the CPU" if busy else ""
    if named := re.fullmatch(r"cuda:(\d+)", run.device):
        gpu = visible[int(named[1])] if int(named[1]) < len(visible) else None
        taken = gpu and _free_place(gpu, _parts(run.gpus)) is None
        return f"GPU {gpu.index} is in use by another run" if gpu and taken else ""
    found = [obstacle(gpu, min(run.gpus, 1.0)) for gpu in visible]
    wanted = math.ceil(run.gpus)
    if wanted > len(visible):
        return f"it needs {wanted} GPUs, but only {len(visible)} are visible"
    missing = sum(reason is None for reason in found) < wanted
    return "; ".join(reason for reason in found if reason) if missing else ""


def visible_gpus(gpus: list[Gpu], visible: str | None) -> list[Gpu]:
    """The GPUs that CUDA_VISIBLE_DEVICES shows, in its order; as CUDA does, up to the first entry that fits none."""
    if visible is None:
        return gpus
    chosen: list[Gpu] = []
    for entry in visible.split(","):
        wanted = entry.strip()
        found = [
            gpu for gpu in gpus if wanted == str(gpu.index) or (wanted[:4] in ("GPU-", "MIG-") and wanted in gpu.uuid)
        ]
        if len(found) != 1 or found[0] in chosen:
            break
        chosen += found
    return chosen


def _take_any(run: Waiting, gpus: list[Gpu], count: int) -> Lease | None:
    share = min(run.gpus, 1.0)
    taken: dict[Gpu, int] = {}
    # the emptiest last: a fraction first fills up the GPU that others have begun
    for gpu in sorted(gpus, key=lambda gpu: gpu.free) if share < 1 else gpus:
        if obstacle(gpu, share) is None and (lock := _lease_part(gpu, _parts(share))) is not None:
            taken[gpu] = lock
            if len(taken) == count:
                return _gpu_lease(list(taken), tuple(taken.values()), share, list(taken))
    for lock in taken.values():
        os.close(lock)
    return None


def _take_named(run: Waiting, visible: list[Gpu], index: int) -> Lease | None:
    if index >= len(visible):
        return _take_cpu(run, {})
    share = min(run.gpus, 1.0)
    lock = _lease_part(visible[index], _parts(share))
    # all stay visible, or `cuda:1` would have another meaning inside the run
    return None if lock is None else _gpu_lease([visible[index]], (lock,), share, visible)


def _gpu_lease(gpus: list[Gpu], held: tuple[int, ...], share: float, visible: list[Gpu]) -> Lease:
    part = "" if share == 1 else f" ({share:.2g} of it)"
    names = " + ".join(f"GPU {gpu.index} {gpu.name}" for gpu in gpus)
    environment = {"CUDA_VISIBLE_DEVICES": ",".join(gpu.uuid for gpu in visible)}
    return Lease(names + part, held, environment, processes=len(gpus))


def _take_cpu(run: Waiting, environment: dict[str, str]) -> Lease | None:
    for slot in range(run.parallel):
        if (lock := file_locks.take(_cpu_lock(run), slot)) is not None:
            return Lease("CPU", (lock,), environment)
    return None


def _cpu_lock(run: Waiting) -> Path:
    return run.path.parent / run_files.CPU_LOCK


def _parts(share: float) -> int:
    return min(PARTS, math.ceil(share * PARTS - 1e-9))


def _free_place(gpu: Gpu, parts: int) -> int | None:
    places = range(0, PARTS - parts + 1)
    return next((place for place in places if not file_locks.is_taken(gpu.lock, place, parts)), None)


def _lease_part(gpu: Gpu, parts: int) -> int | None:
    place = _free_place(gpu, parts)
    return None if place is None else file_locks.take(gpu.lock, place, parts)


def lock_folder() -> Path:
    """The folder of this user's GPU locks, made if need be. Raises UserError where another user owns it."""
    folder = Path(os.environ.get("HANDREID_LOCKS") or f"/tmp/handreid-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise UserError(f"{folder} belongs to another user: set HANDREID_LOCKS to a folder of your own.")
    return folder


# What NVML tells


def list_gpus() -> list[Gpu]:
    """The GPUs of this machine as they are now; none without an NVIDIA driver."""
    if fake := os.environ.get("HANDREID_FAKE_GPUS"):
        memory = 80 << 30
        return [Gpu(index, f"GPU-fake-{index}", "fake", memory, memory) for index in range(int(fake))]
    library = nvml()
    if library is None:
        return []
    found = []
    for index in range(library.nvmlDeviceGetCount()):
        try:
            board = library.nvmlDeviceGetHandleByIndex(index)
            found += [_describe(library, index, handle) for handle in _instances(library, board)]
        except library.NVMLError:
            continue  # a GPU that fell off the bus
    return found


def _instances(nvml: Any, board: Any) -> list[Any]:
    """The MIG instances of a GPU that is divided into some, else the GPU."""
    try:
        if nvml.nvmlDeviceGetMigMode(board)[0] != nvml.NVML_DEVICE_MIG_ENABLE:
            return [board]
    except nvml.NVMLError:
        return [board]
    instances = []
    for place in range(nvml.nvmlDeviceGetMaxMigDeviceCount(board)):
        try:
            instances.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(board, place))
        except nvml.NVMLError:
            continue
    return instances


def _describe(nvml: Any, index: int, handle: Any) -> Gpu:
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        total, free = memory.total, memory.free
    except nvml.NVMLError:  # it shares the machine's memory
        total = free = 0
    try:
        pids = [process.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle)]
    except nvml.NVMLError:
        pids = []
    users = sorted({user for pid in pids if (user := _other_user(pid))})
    return Gpu(index, nvml.nvmlDeviceGetUUID(handle), nvml.nvmlDeviceGetName(handle), total, free, tuple(users))


def _other_user(pid: int) -> str | None:
    """The owner of a process where that is not us; None too where we cannot see it (its memory still counts)."""
    try:
        owner = Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return None
    if owner == os.getuid():
        return None
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return f"user {owner}"
