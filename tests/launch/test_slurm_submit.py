"""Submitting runs to Slurm: the options of sbatch, arrays, refusals. With stand-ins for Slurm's commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.contract.errors import UserError
from handreid_tui.launch import lifecycle
from handreid_tui.launch.slurm import ledger
from handreid_tui.launch.slurm.request import SlurmRequest, read_request
from handreid_tui.launch.slurm.submit import sbatch_command, script
from tests.support.launch_tools import make_run, until
from tests.support.slurm_commands import CONFIG, Slurm


def test_a_sweep_is_one_array_with_the_limits_of_handreid_toml_and_options_as_they_are(tmp_path: Path) -> None:
    table = {"partition": "gpu", "time": "02:00:00", "gpus": 2, "running": 8, "options": ["--qos=low"]}
    words = sbatch_command(tmp_path, 1000, read_request(table, "[slurm]"), "handreid")
    for word in ("--array=0-999%8", "--partition=gpu", "--time=02:00:00", "--gres=gpu:2", "--requeue"):
        assert word in words
    assert words[-1] == "--qos=low"
    assert not any(word.startswith("--account") for word in words)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"partitions": "gpu"}, "no setting 'partitions'"),
        ({"gpus": "two"}, "gpus is a whole number"),
        ({"gpus": True}, "gpus is a whole number"),
        ({"time": 60}, "time is text"),
        ({"options": "--mem=64G"}, "options is a list"),
        ({"options": ["mem=64G"]}, "begins with a dash"),
        ({"options": ["--array=0-3"]}, "is set by handreid"),
        ({"nodes": 0}, "nodes is 1 or more"),
        ("gpu", "is a section"),
    ],
)
def test_a_mistake_in_the_section_is_one_sentence(table: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_request(table, "handreid.toml: [slurm]")


def test_task_n_of_the_script_is_the_shim_of_run_n(tmp_path: Path) -> None:
    runs = tmp_path / "a 'quoted' $place"
    text = script(runs, ["0001-ce", "0002-ce+triplet"]).replace("exec ", "printf '%s\\n' ")
    for index, name in enumerate(["0001-ce", "0002-ce+triplet"]):
        done = subprocess.run(
            ["bash"], input=text, env={"SLURM_ARRAY_TASK_ID": str(index)}, capture_output=True, text=True, check=True
        )
        assert f"{runs}/{name}" in done.stdout.splitlines()


def test_more_runs_than_an_array_holds_become_several_one_after_the_other(runs: Path, slurm: Slurm) -> None:
    slurm.says("scontrol", CONFIG.replace("1001", "2"))
    slurm.says("sbatch", 'cat > /dev/null; echo "4$(grep -c ^sbatch $(dirname $0)/calls);alps"')
    paths = [make_run(runs) for _ in range(5)]
    lifecycle.launch(paths, slurm=SlurmRequest(running=2))
    calls = slurm.calls("sbatch")
    assert ["--array=0-1%2" in calls[0], "--array=0-1%2" in calls[1], "--array=0-0%2" in calls[2]] == [True] * 3
    assert "--dependency" not in calls[0]
    assert "--dependency=afterany:41" in calls[1]
    assert "scontrol release 41 42 43" in slurm.calls("scontrol")
    assert {task.id for task in ledger.open_tasks(runs).values()} == {"41_0", "41_1", "42_0", "42_1", "43_0"}


def test_a_refusal_is_told_in_the_words_of_slurm_and_leaves_nothing(runs: Path, slurm: Slurm) -> None:
    slurm.says("scontrol", CONFIG.replace("1001", "2"))
    only_once = "(($(grep -c ^sbatch $(dirname $0)/calls) == 1)) && echo 41"
    slurm.says("sbatch", f"cat > /dev/null; {only_once} || {{ echo no such qos >&2; exit 1; }}")
    paths = [make_run(runs) for _ in range(3)]
    with pytest.raises(UserError, match="sbatch refused: no such qos"):
        lifecycle.launch(paths, slurm=SlurmRequest())
    name = slurm.calls("sbatch")[0].partition("--job-name=")[2].split()[0]
    assert slurm.calls("scancel") == [f"scancel --name={name}"]
    assert all("--hold" in call for call in slurm.calls("sbatch"))  # so that none began before all were taken
    assert not ledger.has_open_tasks(runs)
    assert not any((path / "queued.json").exists() for path in paths)


def test_on_a_machine_without_slurm_the_command_says_where_to_go_and_makes_nothing(tmp_path: Path) -> None:
    environment = os.environ | {"PATH": "/nowhere", "HANDREID_CACHE": str(tmp_path / "cache")}
    words = ["-m", "handreid_tui", "run", "--combo", "ce", "--on", "slurm", "--model", "handreid-tiny"]
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "login node" in done.stderr
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "cache").exists()  # told before any hand is drawn


def test_a_ctrl_c_while_sbatch_works_leaves_no_run_without_its_task(runs: Path, slurm: Slurm) -> None:
    slurm.says("sbatch", f"cat > /dev/null; touch {slurm.folder}/asked; sleep 1.5; echo 41")
    words = [sys.executable, "-m", "handreid_tui", "run", "--combo", "zero_shot", "--on", "slurm", "--detach"]
    process = subprocess.Popen([*words, "--runs", str(runs)], cwd=runs.parent, stderr=subprocess.PIPE)
    until(lambda: (slurm.folder / "asked").exists(), 60)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert [task.id for task in ledger.open_tasks(runs).values()] == ["41_0"]


def test_a_sweep_of_which_slurm_takes_a_part_leaves_nothing_and_says_what_slurm_said(runs: Path, slurm: Slurm) -> None:
    slurm.says("scontrol", CONFIG.replace("1001", "1"))
    only_once = "(($(grep -c ^sbatch $(dirname $0)/calls) == 1)) && echo 41"
    slurm.says("sbatch", f"cat > /dev/null; {only_once} || {{ echo AssocMaxSubmitJobLimit >&2; exit 1; }}")
    words = ["run", "--combo", "ce", "--combo", "zero_shot", "--on", "slurm", "--runs", str(runs)]
    done = subprocess.run([sys.executable, "-m", "handreid_tui", *words], cwd=runs.parent, capture_output=True)
    assert done.returncode == 2
    assert b"AssocMaxSubmitJobLimit" in done.stderr
    assert not list(runs.glob("0*"))


def test_runs_on_the_cpu_ask_for_no_gpu_and_the_others_for_theirs(runs: Path, slurm: Slurm) -> None:
    lifecycle.launch([make_run(runs, device="cpu"), make_run(runs, device="auto")], slurm=SlurmRequest(gpus=2))
    assert ["--gres=gpu:2" in call for call in slurm.calls("sbatch")] == [False, True]
    assert "scontrol release 41 41" in slurm.calls("scontrol")


def test_where_the_runs_on_the_gpu_are_refused_those_on_the_cpu_do_not_wait(runs: Path, slurm: Slurm) -> None:
    one, two = make_run(runs, device="cpu"), make_run(runs, device="auto")
    slurm.says("sbatch", 'cat > /dev/null; case "$*" in *gres*) echo no gpu >&2; exit 1;; esac; echo 41')
    with pytest.raises(UserError, match="no gpu"):
        lifecycle.launch([one, two], slurm=SlurmRequest())
    assert all("--hold" in call for call in slurm.calls("sbatch"))
    assert len(slurm.calls("scancel")) == 1
    assert not ledger.has_open_tasks(runs)
    assert not any((path / "queued.json").exists() for path in (one, two))


def test_gpus_of_the_command_line_may_be_none_and_must_be_whole(tmp_path: Path) -> None:
    assert SlurmRequest(gpus=2).changed(0, []).gpus == 0
    for wrong in (0.5, float("nan"), float("inf"), -1):
        with pytest.raises(UserError):
            SlurmRequest().changed(wrong, [])


@pytest.mark.parametrize(
    "option", ["-a0-0", "--arr=0-0", "-Mother", "--clus=b", "--wait", "-W", "--wrap=true", "-Jx", "-HJx", "-"]
)
def test_an_option_that_would_undo_the_array_is_refused(option: str) -> None:
    with pytest.raises(UserError, match="set by handreid"):
        SlurmRequest().changed(None, [option])
    assert SlurmRequest().changed(None, ["-H", "-pgpu", "--mem=1G"]).options == ("-H", "-pgpu", "--mem=1G")


def test_a_percent_sign_in_the_folder_is_no_pattern_of_slurm(tmp_path: Path) -> None:
    assert any("50%%a" in word for word in sbatch_command(tmp_path / "50%a", 1, SlurmRequest(), "handreid"))
