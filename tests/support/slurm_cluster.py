"""A whole Slurm on this machine, for tests: nodes of two CPUs and two fake GPUs, all of it in one folder.

    python tests/support/slurm_cluster.py up DIR [nodes=2] [MaxArraySize=1001] ...
    python tests/support/slurm_cluster.py down DIR

Needs root and Debian's packages slurm-wlm and munge; no systemd. Clients find the cluster by SLURM_CONF=DIR/slurm.conf.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

CONFIGURATION = """\
ClusterName=handreid
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
AuthType=auth/munge
AuthInfo=socket={folder}/munge,cred_expire={requeue_wait}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
OverTimeLimit=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
"""
# A job in high preempts one in low, which has `grace` seconds to end; nothing preempts one in debug.
PARTITIONS = """\
PartitionName=debug Nodes=ALL Default=YES MaxTime=UNLIMITED PriorityTier=1 PreemptMode=OFF
PartitionName=low Nodes=ALL MaxTime=UNLIMITED PriorityTier=1 PreemptMode=REQUEUE GraceTime={grace}
PartitionName=high Nodes=ALL MaxTime=UNLIMITED PriorityTier=10 PreemptMode=OFF
"""
DEFAULTS: dict[str, Any] = {
    "KillWait": 10,
    "MaxArraySize": 101,
    "MinJobAge": 300,
    "SchedulerParameters": "sched_interval=2,bf_interval=2",
}


def available() -> bool:
    """Whether this machine has Slurm's daemons and lets us start them."""
    return os.geteuid() == 0 and all(shutil.which(name) for name in ("slurmctld", "slurmd", "munged"))


def up(folder: Path, nodes: int = 1, requeue_wait: int = 5, grace: int = 10, **settings: Any) -> None:
    """Start a cluster in `folder` and wait until its nodes, n1, n2, …, are idle.

    A requeued job waits about `requeue_wait` seconds (5 at least; Slurm's own: 120) before it starts again. `settings`
    are parameters of slurm.conf. The path of `folder` must be short: sockets lie in it. Raises RuntimeError, with the
    end of every log, where a daemon or a node does not come up.
    """
    folder = folder.resolve()
    names = [f"n{index}" for index in range(1, nodes + 1)]
    (folder / "state").mkdir(parents=True, exist_ok=True)
    _make_devices(folder, names)
    (folder / "slurm.conf").write_text(_configuration(folder, names, requeue_wait, grace, DEFAULTS | settings))
    (folder / "munged.key").touch(mode=0o600)
    (folder / "munged.key").write_bytes(secrets.token_bytes(128))
    # --force: munged wants folders that everybody may enter, and a test's own is often closed.
    files = [f"--{name}-file={folder}/munged.{name}" for name in ("key", "pid", "log", "seed")]
    states = ["sinfo", "--noheader", "--Node", "--partition=debug", "--format=%T"]
    try:
        _start(folder, "munged", "--force", f"--socket={folder}/munge", *files)
        _start(folder, "slurmctld", "-f", f"{folder}/slurm.conf")
        for name in names:
            _start(folder, "slurmd", "-N", name, "-f", f"{folder}/slurm.conf")
        if not _within(30, lambda: _ask(folder, *states).split() == ["idle"] * nodes):
            raise RuntimeError(f"The nodes are not idle after 30 s.\n{_logs(folder)}")
    except BaseException:
        down(folder)
        raise


def down(folder: Path) -> None:
    """End every job of the cluster in `folder`, then its daemons."""
    folder = folder.resolve()
    controller = folder / "slurmctld.pid"
    if _runs(controller):
        _ask(folder, "scancel", "--user=root", "--state=PENDING")
        _ask(folder, "scancel", "--user=root", "--full", "--signal=KILL")
        _ask(folder, "scancel", "--user=root")
        _within(20, lambda: not _ask(folder, "squeue", "--noheader"))
    for file in [*folder.glob("slurmd.*.pid"), controller, folder / "munged.pid"]:
        _end(file)
    for pid in _processes_of_jobs(folder):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextmanager
def cluster(folder: Path, **settings: Any) -> Iterator[dict[str, str]]:
    """A cluster (see `up`) for the length of a `with`: the environment by which clients find it."""
    up(folder, **settings)
    try:
        yield {"SLURM_CONF": str(folder.resolve() / "slurm.conf")}
    finally:
        down(folder)


def _make_devices(folder: Path, names: list[str]) -> None:
    """Fake GPUs: /dev/null under other names, two to a node."""
    for device in [folder / f"{name}.gpu{index}" for name in names for index in range(2)]:
        if not device.exists():
            os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    lines = [f"NodeName={name} Name=gpu File={folder}/{name}.gpu[0-1]\n" for name in names]
    (folder / "gres.conf").write_text("".join(lines))


def _configuration(folder: Path, names: list[str], requeue_wait: int, grace: int, settings: dict[str, Any]) -> str:
    host = socket.gethostname()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    control, *ports = _free_ports(1 + len(names))
    lines = [f"{key}={value}\n" for key, value in settings.items()]
    for name, port in zip(names, ports, strict=True):
        where = f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port}"
        lines.append(f"{where} CPUs=2 CoresPerSocket=2 RealMemory={memory} Gres=gpu:2\n")
    general = CONFIGURATION.format(host=host, port=control, folder=folder, requeue_wait=requeue_wait)
    return general + "".join(lines) + PARTITIONS.format(grace=grace)


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _start(folder: Path, *command: str) -> None:
    """Run a daemon, which goes to the background by itself and notes its pid."""
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} does not start: {done.stderr}\n{_logs(folder)}")


def _ask(folder: Path, *command: str) -> str:
    """What a client of the cluster prints; nothing where the cluster does not answer."""
    environment = {**os.environ, "SLURM_CONF": f"{folder}/slurm.conf"}
    with suppress(subprocess.TimeoutExpired):
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=10).stdout
    return ""


def _runs(file: Path) -> bool:
    """Whether the daemon whose pid is in `file` runs: a pid used anew or a process not yet reaped does not count."""
    with suppress(OSError, ValueError):
        return os.fsencode(file.parent) in Path(f"/proc/{int(file.read_text())}/cmdline").read_bytes()
    return False


def _end(file: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if _runs(file):
            with suppress(OSError):
                os.kill(int(file.read_text()), number)
            _within(10, lambda: not _runs(file))


def _processes_of_jobs(folder: Path) -> Iterator[int]:
    """What a job still has where the controller could not be asked to end it, Slurm's own slurmstepd included."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            environment = (process / "environ").read_bytes().split(b"\0")
            in_a_job = any(pair.startswith(b"SLURM_JOB_ID=") for pair in environment)
            slurmstepd = (process / "cmdline").read_bytes().startswith(b"slurmstepd")
            if os.fsencode(f"SLURM_CONF={folder}/slurm.conf") in environment and (in_a_job or slurmstepd):
                yield int(process.name)


def _within(seconds: float, true: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def _logs(folder: Path) -> str:
    return "\n".join(f"{log.name}:\n" + "\n".join(log.read_text().splitlines()[-15:]) for log in folder.glob("*.log"))


if __name__ == "__main__":
    verb, place, *rest = sys.argv[1:]
    if verb == "up":
        pairs = [each.split("=", 1) for each in rest]
        chosen: dict[str, Any] = {key: int(value) if value.isdigit() else value for key, value in pairs}
        up(Path(place), **chosen)
        print(f"export SLURM_CONF={Path(place).resolve()}/slurm.conf")
    else:
        down(Path(place))
