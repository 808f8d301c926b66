"""Whatever stands in a file or an argument: a result or a UserError, never a traceback, and nothing written elsewhere.

Events have a file of their own, test_history_fuzz.py.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from engine.contract.combos import find_combo
from engine.contract.config import DataConfig, RunConfig, parse_setting, resolve, setting_keys
from engine.contract.errors import UserError
from engine.contract.terms import TERMS
from engine.data.layouts.hand_info import COLUMNS
from engine.data.split import open_split
from engine.model.pretrained import load_weights
from engine.training.checkpoint import BEST, FILES, Checkpoint, load_checkpoint, load_newest, save_checkpoint
from handreid_tui.runs.meta import Meta
from handreid_tui.runs.state import observe
from handreid_tui.settings import read_user_file

# What is put in

STRANGE = [
    "",
    "..",
    "/",
    "~root",
    "\0",
    "\ud800",
    "nan",
    "soft",
    "1e999",
    "ce+",
    "\x1b[2J",
    "auto",
    "none",
    "synthetic",
    "cuda:9",
]
scalar = (
    st.none()
    | st.booleans()
    | st.integers(-3, 70)
    | st.sampled_from([10**400, 2**63, -(2**63)])
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(STRANGE)
)
keys = st.sampled_from(sorted(setting_keys())) | st.sampled_from([*TERMS, "weight", "margin", "loss", "combo"])
any_json = st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | st.text(max_size=4), inner, max_size=4)
)
dotted = keys | st.builds(
    ".".join, st.lists(keys | st.sampled_from(["", "loss", "train", "x"]), min_size=1, max_size=3)
)
edits = st.lists(
    st.tuples(st.integers(0, 1 << 20), st.sampled_from(["flip", "cut", "put", "drop"]), st.binary(max_size=12)),
    max_size=6,
)


def harm(content: bytes, changes: list[tuple[int, str, bytes]]) -> bytes:
    """`content` after some changes of bytes."""
    for place, how, piece in changes:
        at = place % (len(content) + 1)
        before, after = content[:at], content[at:]
        if how == "flip" and after:
            content = before + bytes([after[0] ^ (piece[0] if piece else 255)]) + after[1:]
        elif how == "cut":
            content = before
        elif how == "put":
            content = before + piece + after
        elif how == "drop":
            content = before + after[len(piece) + 1 :]
    return content


def accepted(read: Callable[[], Any]) -> Any:
    """What `read` returns, None where it refuses with a sentence; any other error is a fault."""
    try:
        return read()
    except UserError as error:
        assert str(error).strip() and len(str(error)) < 5000
        return None


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def watched() -> Iterator[Path]:
    """A folder to work in, `inside`; beside it nothing may appear, nor where the process stands."""
    with tempfile.TemporaryDirectory() as outer:
        inside = Path(outer) / "inside"
        inside.mkdir()
        here = names(Path())
        yield inside
        assert names(Path(outer)) == ["inside"]
        assert names(Path()) == here


# Configuration


def config_text(changes: list[tuple[int, str, bytes]]) -> None:
    with watched() as folder:
        path = folder / "config.json"
        text = json.dumps(resolve("ce_triplet_center").model_dump(), indent=2)
        path.write_bytes(harm(text.encode(), changes))
        if config := accepted(lambda: RunConfig.load(path)):
            config.save(path)
            assert RunConfig.load(path) == config


def config_value(changed: dict[str, Any], whole: Any) -> None:
    with watched() as folder:
        path = folder / "config.json"
        value: Any = resolve("ce_triplet").model_dump()
        for key, new in changed.items():
            *parents, leaf = key.split(".")
            place = value
            for parent in parents:
                place = place[parent] if isinstance(place.get(parent), dict) else place
            place[leaf] = new
        for content in (value, whole):
            path.write_text(json.dumps(content))
            accepted(lambda: RunConfig.load(path))


def config_settings(combo: str, seed: Any, chosen: dict[str, Any]) -> None:
    if config := accepted(lambda: resolve(combo, seed, **chosen)):
        assert RunConfig.model_validate(json.loads(json.dumps(config.model_dump()))) == config


def setting_text(key: str, value: str) -> None:
    for text in (f"{key}={value}", key, value):
        if found := accepted(lambda text=text: parse_setting(text)):
            accepted(lambda found=found: resolve("ce", **{found[0]: found[1]}))


def combo_text(expression: str) -> None:
    accepted(lambda: find_combo(expression))
    accepted(lambda: resolve(expression))


TOML = b"""[places]
db = "a.db"
runs = "runs"
[run]
seed = 3
train.epochs = 30
[run.augment]
flip = 0.1
[combos.mine]
does = "Mine."
ce = 1.0
triplet = {weight = 0.5, margin = "soft"}
[combos.other]
arcface = 1
"""


def user_file(changes: list[tuple[int, str, bytes]], line: str, value: str) -> None:
    with watched() as folder:
        path = folder / "handreid.toml"
        for content in (harm(TOML, changes), TOML + f"{line} = {value}\n".encode(errors="replace")):
            path.write_bytes(content)
            if found := accepted(lambda: read_user_file(path)):
                assert all(isinstance(place, str) for place in found.places.values())
                for name in found.combos:
                    accepted(lambda found=found, name=name: resolve(name, 0, found.combos, **found.settings))


# HandInfo.csv

ROWS = [
    ",".join((str(person), "0", aspect, f"Hand_{person}_{image}.jpg"))
    for person, aspect in ((1, "dorsal right"), (2, "dorsal right"), (1100, "dorsal right"), (1101, "dorsal right"))
    for image in range(3)
]
TABLE = "\n".join([",".join(COLUMNS), *ROWS]).encode()


def table(changes: list[tuple[int, str, bytes]], whole: bytes) -> None:
    with watched() as folder:
        (folder / "Hands").mkdir()
        for row in ROWS:
            (folder / "Hands" / row.split(",")[3]).touch()
        for content in (harm(TABLE, changes), whole):
            (folder / "HandInfo.csv").write_bytes(content)
            if split := accepted(lambda: open_split(DataConfig(source=str(folder), trials=2))):
                assert all((split.root / image.path).is_relative_to(folder.resolve()) for image in split.images)
        assert names(folder) == ["HandInfo.csv", "Hands"]


# Checkpoints and weights


@cache
def sound() -> dict[str, bytes]:
    """The files of a checkpoint."""
    optimizer = {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}
    weights = {"visual.weight": torch.ones(2, 3), "visual.bias": torch.zeros(2)}
    with tempfile.TemporaryDirectory() as folder:
        best, last = Path(folder) / "best", Path(folder) / "last"
        save_checkpoint(best, Checkpoint(weights, {"step": 1}))
        save_checkpoint(last, Checkpoint(weights, {"step": 1}, [optimizer]), best=best)
        return {file.name: file.read_bytes() for file in last.iterdir()}


def checkpoint(name: str, changes: list[tuple[int, str, bytes]], replaced: bytes | None) -> None:
    with watched() as folder:
        place = folder / "last"
        place.mkdir()
        for part, content in sound().items():
            (place / part).write_bytes(content)
        file = place / name
        file.write_bytes(harm(file.read_bytes(), changes) if replaced is None else replaced)
        if name != "manifest.json":  # a manifest that matches, so that the parsers see the damage
            told = json.loads((place / "manifest.json").read_text())
            told[name] = hashlib.blake2b(file.read_bytes()).hexdigest()[:32]
            (place / "manifest.json").write_text(json.dumps(told))
        found = load_checkpoint(place)
        assert found is None or (isinstance(found.state, dict) and isinstance(found.optimizers, list))
        load_newest(folder)


class Runs:
    """A pickle that runs code when it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def weights(kind: str, changes: list[tuple[int, str, bytes]]) -> None:
    with watched() as folder:
        tower, proof = nn.Linear(3, 2), folder / "proof"
        state = tower.state_dict()
        evil = Runs(Path.touch, proof), Runs(os.mkdir, str(proof)), Runs(eval, f"open({str(proof)!r}, 'w')")
        file = folder / ("weights.safetensors" if kind == "safetensors" else "weights.pt")
        if kind == "safetensors":
            save_file(state, file)
        elif kind == "zip":
            torch.save({"state_dict": state}, file)
        elif kind == "legacy":
            torch.save(state, file, _use_new_zipfile_serialization=False)
        elif kind == "evil zip":
            torch.save({"state_dict": state, "more": evil}, file)
        else:
            buffer = io.BytesIO()
            pickle.dump({"state_dict": evil}, buffer)
            file.write_bytes(buffer.getvalue())
        file.write_bytes(harm(file.read_bytes(), changes))
        accepted(lambda: load_weights(tower, file))
        assert names(folder) == [file.name]


# What the manager notes

NOTES = ("meta.json", "queued.json", "process.json", "exit.json")
NOTED = """name tags note archived created t priority resume host boot_id shim shim_started trainer trainer_started
    events status"""
note_keys = st.sampled_from(NOTED.split())
note = st.dictionaries(note_keys, any_json, max_size=6).map(lambda value: json.dumps(value).encode()) | st.binary(
    max_size=30
)


def notes(files: dict[str, bytes]) -> None:
    with watched() as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        state, meta = observe(folder), Meta.read(folder)
        assert state.status in ("queued", "starting", "running", "finished", "stopped", "failed", "lost")
        assert state.reason.isprintable() or "\n" in state.reason or "\t" in state.reason
        assert 0 <= meta.created < 1e11 and all(tag.isprintable() for tag in meta.tags)
        assert names(folder) == sorted(files)


# What is run

parts = st.lists(
    st.sampled_from([*TERMS, "+", ":", "0.5", "-1", "nan", "1e999", " ", "x", "\0", "ce_triplet"]), max_size=8
)
TARGETS: list[tuple[Callable[..., None], list[Any], int]] = [  # the function, what it takes, its share of the cases
    (config_text, [edits], 3),
    (config_value, [st.dictionaries(dotted, any_json, max_size=3), any_json], 3),
    (
        config_settings,
        [st.sampled_from(["ce", "ce_arcface", "zero_shot"]), scalar, st.dictionaries(dotted, any_json, max_size=3)],
        3,
    ),
    (setting_text, [dotted | st.text(max_size=8), any_json.map(json.dumps) | st.text(max_size=12)], 2),
    (combo_text, [parts.map("".join) | st.text(max_size=12)], 2),
    (user_file, [edits, dotted, any_json.map(json.dumps) | st.text(max_size=8)], 2),
    (table, [edits, st.binary(max_size=60)], 1),
    (
        checkpoint,
        [
            st.sampled_from([*FILES, BEST, "manifest.json"]),
            edits,
            st.none() | st.binary(max_size=40) | any_json.map(json.dumps).map(str.encode),
        ],
        2,
    ),
    (weights, [st.sampled_from(["safetensors", "zip", "legacy", "evil zip", "evil pickle"]), edits], 2),
    (notes, [st.dictionaries(st.sampled_from(NOTES), note, max_size=4)], 2),
]
each_target = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target[0].__name__)


def fuzz(target: tuple[Callable[..., None], list[Any], int], per_share: int) -> int:
    check, strategies, share = target
    tried = 0

    @settings(max_examples=per_share * share, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.tuples(*strategies))
    def case(arguments: tuple[Any, ...]) -> None:
        nonlocal tried
        tried += 1
        check(*arguments)

    case()
    return tried


@each_target
def test_anything_gets_a_result_or_a_sentence(target: tuple[Callable[..., None], list[Any], int]) -> None:
    fuzz(target, per_share=20)


@pytest.mark.long
def test_twenty_thousand_things_get_a_result_or_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    total = 0
    for target in TARGETS:
        count = fuzz(target, per_share=950)
        total += count
        with capsys.disabled():
            print(f"\n{target[0].__name__}: {count}", end="", flush=True)
    with capsys.disabled():
        print(f"\ncases: {total}")
    assert total >= 20_000
