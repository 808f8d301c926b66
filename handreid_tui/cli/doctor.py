"""`handreid doctor`: what works on this machine, and what does not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rich.text import Text

from engine.contract.errors import UserError
from engine.contract.hub import hub_reachable
from engine.data.cache_dir import cache_folder
from handreid_tui.cli.finding import Check
from handreid_tui.cli.slurm_doctor import examine_slurm
from handreid_tui.launch.slurm.request import SlurmRequest
from handreid_tui.settings import Places
from handreid_tui.text.manager_log import log_file
from handreid_tui.text.numbers import size
from handreid_tui.text.tables import stdout

TORCH = """
import json, torch, open_clip
names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
print(json.dumps({"torch": torch.__version__, "open_clip": open_clip.__version__, "gpus": names,
                  "bfloat16": bool(torch.cpu.get_capabilities().get("avx512_bf16"))}))
"""


def examine(places: Places, slurm: SlurmRequest | None, as_json: bool) -> int:
    """Look at everything and print it; returns 1 where something that training needs does not work.

    With `slurm`, at the cluster too, from one of its nodes.
    """
    disks = [_disk(places.runs, "runs"), _disk(cache_folder(), "cache")]
    findings = [_python(), *_torch(), _hub(), *disks, _database(places), _log()]
    if slurm:
        findings += examine_slurm(places.runs, slurm)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        marks = {True: ("✓", "green"), False: ("✗", "red"), None: ("–", "yellow")}
        for finding in findings:
            line = Text.assemble(marks[finding.ok], f" {finding.what:<10} {finding.text}")
            stdout().print(line, soft_wrap=True)
    return 1 if any(finding.ok is False for finding in findings) else 0


def _python() -> Check:
    return Check("python", sys.version_info >= (3, 11), sys.version.split()[0])


def _torch() -> list[Check]:
    """Asked in a process of its own: the manager never imports torch."""
    try:
        asked = subprocess.run([sys.executable, "-c", TORCH], capture_output=True, text=True, timeout=120, check=True)
        found = json.loads(asked.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError) as error:
        output = getattr(error, "stderr", None) or str(error)
        return [Check("torch", False, f"torch and open_clip cannot be imported: {output.strip().splitlines()[-1]}")]
    gpus = ", ".join(found["gpus"])
    fast = "bfloat16 is fast on this CPU" if found["bfloat16"] else "this CPU trains in float32"
    return [
        Check("torch", True, found["torch"]),
        Check("open_clip", True, found["open_clip"]),
        Check("GPU", True if gpus else None, gpus or f"none; training runs on the CPU ({fast})"),
    ]


def _hub() -> Check:
    if hub_reachable():
        return Check("hub", True, "reachable: pretrained tags can be downloaded")
    return Check("hub", None, "not reachable: use --pretrained FILE, an earlier RUN, synthetic, or none")


def _disk(folder: Path, what: str) -> Check:
    there = next(parent for parent in [folder.absolute(), *folder.absolute().parents] if parent.exists())
    free = shutil.disk_usage(there).free
    writable = _works(lambda: _write_probe(there))
    text = f"{folder}: {size(free)} free" + ("" if writable else ", but cannot be written")
    return Check(what, writable and free > 1e9, text)


def _write_probe(folder: Path) -> None:
    probe = folder / ".handreid-probe"
    probe.touch()
    probe.unlink()


def _log() -> Check:
    path = log_file()
    text = f"{size(path.stat().st_size)} of tracebacks" if path.exists() else "empty: no bugs logged"
    return Check("log", True, f"{path}: {text}")


def _database(places: Places) -> Check:
    if not places.db.exists():
        return Check("database", None, f"{places.db}: does not exist yet, created by the first run")
    from handreid_tui.history import list_runs, open_history

    try:
        return Check("database", True, f"{places.db}: {len(list_runs(open_history(places.db), archived=True))} runs")
    except UserError as error:
        return Check("database", False, str(error))


def _works(action: Callable[[], None]) -> bool:
    try:
        action()
    except OSError:
        return False
    return True
