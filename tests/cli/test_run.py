"""The command line from the front door: real subprocesses, a real history."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

SMALL = ["--model", "handreid-tiny", "--epochs", "2", "--ids-per-batch", "5", "--images-per-id", "3"]
SMALL += ["--set", "threads=1", "--set", "data.trials=2", "--device", "cpu"]


def handreid(*words: object, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(_command(*words), cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert "Traceback" not in done.stderr, done.stderr
    if check:
        assert done.returncode == 0, done.stderr
    return done


def _command(*words: object) -> list[str]:
    return [sys.executable, "-m", "handreid_tui", *map(str, words)]


@pytest.fixture(scope="module")
def trained(hands: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder in which two combinations were trained with `handreid run`, and what that printed."""
    place = tmp_path_factory.mktemp("trained")
    done = handreid(
        "run", "--combo", "ce", "--combo", "ce_triplet_center", "--data", hands, *SMALL, "--json", cwd=place
    )
    return place, done


def test_run_prints_one_json_object_a_run_on_stdout_and_progress_on_stderr(
    trained: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    place, done = trained
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(run["run"], run["combo"], run["seed"], run["status"]) for run in runs] == [
        (1, "ce", 0, "finished"),
        (2, "ce_triplet_center", 0, "finished"),
    ]
    for run in runs:
        assert 0 <= run["rank1"] <= 1
        assert 0 <= run["before"]["rank1"] <= 1
        assert (place / run["run_dir"] / "evaluation" / "features.safetensors").exists()
    first, *_, last = done.stderr.splitlines()
    assert "handreid-tiny from scratch" in first
    assert "0002-ce_triplet_center: finished" in last
    assert "epoch 2/2 ce" in done.stderr


def test_the_history_is_rebuilt_as_it_was(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    place, _ = trained
    handreid("tag", "1", "paper", cwd=place)
    handreid("note", "1", "the first one", cwd=place)
    before = handreid("runs", "--json", cwd=place).stdout
    assert [(run["number"], run["tags"], run["note"]) for run in json.loads(before)] == [
        (2, [], ""),
        (1, ["paper"], "the first one"),
    ]
    (place / "runs.db").unlink()
    handreid("rebuild", cwd=place)
    assert handreid("runs", "--json", cwd=place).stdout == before


def test_show_logs_and_filter(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    place, _ = trained
    shown = json.loads(handreid("show", "last", "--json", cwd=place).stdout)
    assert shown["combo"] == "ce_triplet_center"
    assert shown["configuration"]["loss.center.weight"] == 5e-4
    assert "before training" in handreid("show", "1", cwd=place).stdout
    assert "epoch 2: validation rank-1" in handreid("logs", "ce_triplet", cwd=place).stdout
    filtered = json.loads(handreid("runs", "--filter", "combo:ce", "--json", cwd=place).stdout)
    assert [run["number"] for run in filtered] == [1]


def test_a_run_is_a_start_for_another(trained: tuple[Path, subprocess.CompletedProcess[str]], hands: Path) -> None:
    place, _ = trained
    words = ["run", "--combo", "zero_shot", "--data", hands, "--pretrained", "2", *SMALL[2:], "--json"]
    again = json.loads(handreid(*words, cwd=place).stdout)
    reached = json.loads(handreid("show", "2", "--json", cwd=place).stdout)
    # the necks start anew, so the features differ a little from the run's own
    assert again["rank1"] == pytest.approx(reached["rank1"], abs=0.2)
    assert again["before"]["rank1"] == again["rank1"]
    handreid("rm", "last", "--yes", cwd=place)


BAD = [
    (["--combo", "ce_tripet"], "Did you mean 'ce_triplet'?"),
    (["--combo", "ce", "--data", "nowhere"], "nowhere"),
    (["--combo", "ce", "--data", "empty"], "not a known data set"),
    (["--combo", "ce", "--data", "columns"], "aspectOfHand"),
    (["--combo", "ce", "--data", "HANDS", "--subset", "palmar-left"], "dorsal-right"),
    (["--combo", "ce", "--data", "HANDS", "--model", "ViT-B-61"], "ViT-B-16"),
    (
        ["--combo", "ce", "--data", "HANDS", "--model", "handreid-tiny", "--ids-per-batch", "64"],
        "10 or less (--ids-per-batch)",
    ),
    (["--combo", "ce", "--set", "train.epoch=3"], "train.epochs"),
    (["--combo", "ce", "--set", "loss.triplet.margin=1"], "no chosen combination"),
    (["--combo", "ce", "--pretrained", "7"], "no run"),
    (["--combo", "ce", "--epochs", "-3"], "train.epochs"),
    (["--combo", "ce", "--device", "tpu"], "device"),
    (["--combo", "ce", "--data", "HANDS", "--model", "handreid-tiny", "--device", "cuda:99"], "There is no cuda:99"),
    (["--combo", "ce", "--pretrained", "foo", "--detach"], "handreid-tiny has no pretrained weights 'foo'"),
    (["--combo", "ce", "--data", "HANDS", "--pretrained", "opnai"], "Its tags: openai,"),
    (["--combo", "ce", "--pretrained", "empty"], "contains no weights"),
]


@pytest.mark.parametrize(("words", "said"), BAD, ids=[said for _, said in BAD])
def test_bad_input_is_one_sentence_and_leaves_nothing(words: list[str], said: str, hands: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "columns" / "Hands").mkdir(parents=True)
    (tmp_path / "columns" / "HandInfo.csv").write_text("id,imageName\n1,a.jpg\n")
    done = handreid("run", *[str(hands) if word == "HANDS" else word for word in words], cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["columns", "empty"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--pretrained", "openai"],
            "'synthetic' of handreid-small, which are trained on synthetic hands, or",
        ),
        (["--pretrained", "FILE"], "is damaged, or not a weights file"),
    ],
)
def test_what_only_the_trainer_can_find_leaves_nothing_either(
    words: list[str], said: str, hands: Path, tmp_path: Path
) -> None:
    (tmp_path / "weights.pt").write_bytes(b"not weights")
    words = [str(tmp_path / "weights.pt") if word == "FILE" else word for word in words]
    base = ["run", "--combo", "ce", "--data", hands, "--set", "threads=1", "--ids-per-batch", "5"]
    model = ["--model", "ViT-B-16"] if "openai" in words else ["--model", "handreid-tiny"]
    done = subprocess.run(
        _command(*base, *model, *words),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 2, done.stderr
    assert said in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert [path for path in (tmp_path / "runs").iterdir() if not path.name.startswith(".")] == []


def test_an_unwritable_folder_of_runs_is_said(tmp_path: Path, hands: Path) -> None:
    (tmp_path / "runs").write_text("a file, not a folder")
    done = handreid("run", "--combo", "ce", "--data", hands, *SMALL, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "--runs" in done.stderr.splitlines()[-1]


def test_ctrl_c_stops_the_run_and_resume_finishes_it(hands: Path, tmp_path: Path) -> None:
    words = _command("run", "--combo", "ce", "--data", hands, *SMALL, "--epochs", "400")
    running = subprocess.Popen(
        words,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a test in the background ignores it
    )
    assert running.stderr is not None
    for line in running.stderr:
        if "epoch 2/" in line:
            break
    running.send_signal(signal.SIGINT)
    _, rest = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "stopped" in rest
    (run,) = json.loads(handreid("runs", "--json", cwd=tmp_path).stdout)
    assert run["status"] == "stopped"
    assert run["step"] < 1200
    detached = handreid("resume", "last", "--detach", cwd=tmp_path)
    assert "queued" in detached.stderr
    deadline = time.monotonic() + 60
    while json.loads(handreid("runs", "--json", cwd=tmp_path).stdout)[0]["status"] != "running":
        assert time.monotonic() < deadline
        time.sleep(0.3)
    handreid("stop", "last", cwd=tmp_path)
    handreid("logs", "last", "-f", cwd=tmp_path)
    assert json.loads(handreid("runs", "--json", cwd=tmp_path).stdout)[0]["status"] == "stopped"


def test_own_combinations_and_defaults_come_from_the_users_file(hands: Path, tmp_path: Path) -> None:
    (tmp_path / "handreid.toml").write_text(
        "[run]\nthreads = 1\ntrain.epochs = 1\n[places]\nruns = 'elsewhere'\n"
        "[combos.wide]\nce = 1.0\ntriplet = {weight = 0.5, margin = 0.8}\n"
    )
    assert "wide" in handreid("combos", cwd=tmp_path).stdout
    base = ["run", "--combo", "wide", "--data", hands, "--model", "handreid-tiny", "--ids-per-batch", "5", "--json"]
    run = json.loads(handreid(*base, cwd=tmp_path).stdout)
    config = json.loads((tmp_path / run["run_dir"] / "config.json").read_text())
    assert run["run_dir"].startswith("elsewhere")
    assert config["loss"] == {"ce": {"weight": 1.0, "smoothing": 0.1}, "triplet": {"weight": 0.5, "margin": 0.8}}
    assert (config["train"]["epochs"], config["threads"]) == (1, 1)


def test_the_doctor_says_what_works(tmp_path: Path) -> None:
    findings = json.loads(handreid("doctor", "--json", cwd=tmp_path, check=False).stdout)
    by_name = {finding["what"]: finding for finding in findings}
    assert by_name["torch"]["ok"]
    assert by_name["open_clip"]["ok"]
    assert {"python", "GPU", "hub", "runs", "cache", "database"} <= by_name.keys()


def test_run_notes_a_few_steps_unless_the_epochs_were_chosen(hands: Path, tmp_path: Path) -> None:
    def notes(*words: object) -> list[str]:  # so many runs are asked about before any is made
        asked = ("run", "--combo", "ce", "--seed", "0-100", "--data", hands, "--model", "handreid-tiny", *words)
        done = handreid(*asked, cwd=tmp_path, check=False)
        assert done.returncode == 2 and "use --yes" in done.stderr
        return [line for line in done.stderr.splitlines() if "steps" in line]

    assert notes() == ["Note: 40 epochs are only 40 steps on 50 training images: consider 200 epochs."]
    assert notes("--epochs", "40") == notes("--epochs", "40,50") == notes("--set", "train.epochs=40") == []
    (tmp_path / "handreid.toml").write_text("[run]\ntrain.epochs = 40\n")
    assert notes() == []


def test_weights_in_several_files_are_imported_by_their_index_or_their_folder(
    trained: tuple[Path, subprocess.CompletedProcess[str]], hands: Path, tmp_path: Path
) -> None:
    [whole] = trained[0].glob("runs/0001-*/checkpoints/best/model.safetensors")
    state, folder = load_file(whole), tmp_path / "shards"
    folder.mkdir()
    files = {name: f"model-0000{n % 2 + 1}-of-00002.safetensors" for n, name in enumerate(state)}
    for file in set(files.values()):
        save_file({name: state[name] for name in state if files[name] == file}, folder / file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": files}))

    def scores(path: Path) -> list[float]:
        small = ("--model", "handreid-tiny", "--data", hands, "--set", "device=cpu", "--set", "data.trials=2")
        done = handreid("import", path, *small, "--json", cwd=tmp_path)
        run = json.loads(done.stdout)
        return [run[key] for key in ("rank1", "mAP", "mINP")]

    assert scores(folder) == scores(index) == scores(whole)
    for name, sentence in (("nowhere", "No such file or folder: nowhere."), (".", "contains no weights")):
        refused = handreid("import", name, "--data", hands, cwd=tmp_path, check=False)
        assert refused.returncode == 2 and sentence in refused.stderr and refused.stderr.count("\n") == 1
