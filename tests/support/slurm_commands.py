"""Stand-ins for Slurm's commands, which note how they were called and answer as a test has it."""

from __future__ import annotations

import shlex
from pathlib import Path

CONFIG = 'case "$1 $2" in "show config") printf "ClusterName = alps\\nMaxArraySize            = 1001\\n";; esac'


class Slurm:
    """Commands that note how they were called, and answer as a test has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.says("sbatch", "cat > $0.script.$(ls $0.script.* 2>/dev/null | wc -l); echo 41")
        self.says("scontrol", CONFIG)
        self.says("scancel", "")
        self.says("squeue", "")

    def says(self, name: str, body: str) -> None:
        """`name` does `body`, a shell script."""
        path = self.folder / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >> {shlex.quote(str(self.folder))}/calls\n{body}\n')
        path.chmod(0o755)

    def squeue(self, *lines: str) -> None:
        self.says("squeue", "\n".join(f"echo {shlex.quote(line)}" for line in lines))

    def calls(self, name: str) -> list[str]:
        noted = self.folder / "calls"
        lines = noted.read_text().splitlines() if noted.exists() else []
        return [line for line in lines if line.split()[0] == name]
