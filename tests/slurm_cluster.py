"""A whole Slurm on this machine, for tests: nodes of two CPUs and two fake GPUs, all of it in one folder.

    python tests/slurm_cluster.py up DIR [nodes=2] [MaxArraySize=1001 ...]
    python tests/slurm_cluster.py down DIR

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
JobAcctGatherType=jobacct_gather/linux
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
# A job in high preempts one in low, which has `grace` seconds to end; debug keeps what it has.
PARTITIONS = """\
PartitionName=debug Nodes=ALL Default=YES MaxTime=UNLIMITED PriorityTier=1 PreemptMode=OFF
PartitionName=low Nodes=ALL MaxTime=UNLIMITED PriorityTier=1 PreemptMode=REQUEUE GraceTime={grace}
PartitionName=high Nodes=ALL MaxTime=UNLIMITED PriorityTier=10 PreemptMode=OFF
"""
DEFAULTS: dict[str, str | int] = {
    "KillWait": 10,
    "MaxArraySize": 101,
    "MinJobAge": 300,
    "SchedulerParameters": "sched_interval=2,bf_interval=2",
}


def available() -> bool:
    """Whether this machine has Slurm's daemons and lets us start them."""
    return os.geteuid() == 0 and all(shutil.which(name) for name in ("slurmctld", "slurmd", "munged"))


def up(folder: Path, nodes: int = 1, requeue_wait: int = 5, grace: int = 10, **settings: str | int) -> None:
    """Start a cluster in `folder` and wait until its nodes are idle; one that ran there before gets its jobs back.

    `requeue_wait` and `grace` are in seconds (Slurm's own: 120 and 0), `settings` are parameters of slurm.conf.
    Raises RuntimeError, with the end of every log, where the nodes do not become idle.
    """
    folder = folder.resolve()
    names = [f"n{index}" for index in range(1, nodes + 1)]
    (folder / "state").mkdir(parents=True, exist_ok=True)
    _make_devices(folder, names)
    _write_configuration(folder, names, requeue_wait, grace, DEFAULTS | settings)
    _make_key(folder / "munged.key")
    # --force: munged wants folders that everybody may enter, and a test's own is often closed.
    files = [f"--{name}-file={folder}/munged.{name}" for name in ("key", "pid", "log", "seed")]
    _start(folder, "munged", "--force", f"--socket={folder}/munge", *files)
    _start(folder, "slurmctld", "-f", f"{folder}/slurm.conf")
    for name in names:
        _start(folder, "slurmd", "-N", name, "-f", f"{folder}/slurm.conf")
    states = ["sinfo", "--noheader", "--Node", "--partition=debug", "--format=%T"]
    if not _within(30, lambda: _ask(folder, *states).split() == ["idle"] * nodes):
        raise RuntimeError(f"The nodes of {folder} are not idle after 30 s.\n{_logs(folder)}")


def down(folder: Path) -> None:
    """End every job of the cluster in `folder`, then its daemons."""
    folder = folder.resolve()
    _ask(folder, "scancel", "--user=root", "--state=PENDING")
    _ask(folder, "scancel", "--user=root", "--full", "--signal=KILL")
    _ask(folder, "scancel", "--user=root")
    _within(20, lambda: not _ask(folder, "squeue", "--noheader"))
    for file in [*folder.glob("slurmd.*.pid"), folder / "slurmctld.pid", folder / "munged.pid"]:
        with suppress(FileNotFoundError, ProcessLookupError):
            _end(int(file.read_text()))


@contextmanager
def cluster(folder: Path, **settings: Any) -> Iterator[dict[str, str]]:
    """A cluster (see `up`) for the length of a `with`: the environment by which clients find it."""
    try:
        up(folder, **settings)
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


def _make_key(file: Path) -> None:
    if not file.exists():
        file.touch(mode=0o600)
        file.write_bytes(secrets.token_bytes(128))


def _write_configuration(folder: Path, names: list[str], wait: int, grace: int, settings: dict[str, str | int]) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    control, *ports = _free_ports(1 + len(names))
    nodes = [
        f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port} CPUs=2 CoresPerSocket=2"
        f" RealMemory={memory} Gres=gpu:2\n"
        for name, port in zip(names, ports, strict=True)
    ]
    text = [
        CONFIGURATION.format(host=socket.gethostname(), port=control, folder=folder, requeue_wait=wait),
        *(f"{key}={value}\n" for key, value in settings.items()),
        *nodes,
        PARTITIONS.format(grace=grace),
    ]
    (folder / "slurm.conf").write_text("".join(text))


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


def _end(pid: int) -> None:
    """SIGTERM, and SIGKILL where ten seconds of that do not help."""
    os.kill(pid, signal.SIGTERM)
    if not _within(10, lambda: not Path(f"/proc/{pid}").exists()):
        os.kill(pid, signal.SIGKILL)


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
        chosen = dict(each.split("=", 1) for each in rest)
        up(Path(place), **{key: int(value) if value.isdigit() else value for key, value in chosen.items()})
        print(f"export SLURM_CONF={Path(place).resolve()}/slurm.conf")
    else:
        down(Path(place))
