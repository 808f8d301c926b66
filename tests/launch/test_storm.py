"""A short kill storm; the long one is `python benchmarks/kill_storm.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_storm.py"


def test_nothing_is_lost_in_a_kill_storm() -> None:
    storm = subprocess.run(
        [sys.executable, SCRIPT, "--kills", "15", "--runs", "3"], capture_output=True, text=True, timeout=300
    )
    assert storm.returncode == 0, storm.stderr
    counts = dict(line.split(": ") for line in storm.stdout.splitlines() if ": " in line)
    assert int(counts["kills"]) == 15
    assert counts["equal final weights"] == counts["runs finished"]
