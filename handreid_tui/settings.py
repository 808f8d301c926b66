"""Where the manager keeps things, and what the user's handreid.toml says.

A value is taken from the command line, else from the environment (`HANDREID_RUNS`, …), else from `handreid.toml` in the
working folder, else from the defaults.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.contract.combos import COMBOS, Combo, title_of
from engine.contract.errors import UserError
from engine.contract.terms import TERMS, term_called
from handreid_tui.launch.slurm.request import SlurmRequest, read_request

FILE = Path("handreid.toml")


@dataclass(frozen=True)
class Places:
    """The run history and the run directories that a command works on."""

    db: Path = Path("runs.db")
    runs: Path = Path("runs")


def choose_places(user: UserFile, db: Path | None = None, runs: Path | None = None) -> Places:
    """The places of a command: `db` and `runs` where the user named them, else as the module says."""
    own = {name: os.environ.get(f"HANDREID_{name.upper()}") or user.places.get(name) for name in ("db", "runs")}
    usual = Places()
    return Places(db or Path(own["db"] or usual.db), runs or Path(own["runs"] or usual.runs))


@dataclass(frozen=True)
class UserFile:
    """handreid.toml: places, default settings of a run as dotted keys, the user's own combinations, and what runs take
    on Slurm (None without that section).
    """

    places: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    combos: dict[str, Combo] = field(default_factory=dict)
    slurm: SlurmRequest | None = None


def read_user_file(path: Path = FILE) -> UserFile:
    """Read handreid.toml; empty where there is none. Raises UserError on a mistake in it.

    [places] db, runs · [run] any configuration key, as `train.epochs = 30` or `[run.train] epochs = 30` ·
    [combos.NAME] does, and a weight for each term: `triplet = 0.5` or `triplet = {weight = 0.5, margin = "soft"}`;
    `like = "mba_net"`: beside its loss, it is what that named combination is ·
    [slurm] as in `launch/slurm/request.py`
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Notepad writes a byte-order mark
    except FileNotFoundError:
        return UserFile()
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: save it as UTF-8 in your editor.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} cannot be read: {error}.") from None
    if unknown := set(raw) - {"places", "run", "combos", "slurm"}:
        raise UserError(
            f"{path}: there is no section [{min(unknown)}], only [places], [run], [combos.NAME] and [slurm]."
        )
    combos = {name: _own_combo(path, name, table) for name, table in raw.get("combos", {}).items()}
    slurm = read_request(raw["slurm"], f"{path}: [slurm]") if "slurm" in raw else None
    return UserFile(raw.get("places", {}), dict(_dotted(raw.get("run", {}))), combos, slurm)


def _own_combo(path: Path, name: str, table: Any) -> Combo:
    if name in COMBOS:
        raise UserError(f"{path}: {name!r} is already a built-in combination; choose another name.")
    if not isinstance(table, dict):
        raise UserError(f"{path}: [combos.{name}] holds a weight for each term, like `triplet = 0.5`.")
    like = table.get("like")
    if like is not None and like not in COMBOS:
        raise UserError(f"{path}: [combos.{name}] is like {like!r}; it must be one of {', '.join(COMBOS)}.")
    weights, options = {}, {}
    for term, value in table.items():
        if term in ("does", "like"):
            continue
        term = term_called(term, f"[combos.{name}] of {path}")
        own = dict(value) if isinstance(value, dict) else {"weight": value}
        weights[term] = own.pop("weight", TERMS[term].weight.default)
        if not isinstance(weights[term], int | float) or isinstance(weights[term], bool):
            raise UserError(f"{path}: the weight of {term} in [combos.{name}] is {weights[term]!r}, not a number.")
        options[term] = own
    base = COMBOS[like] if like else Combo(title_of(weights), "A custom combination.", {})
    return replace(base, does=str(table.get("does", base.does)), weights=weights, options=options)


def _dotted(table: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs = []
    for key, value in table.items():
        name = f"{prefix}{key}"
        pairs += _dotted(value, f"{name}.") if isinstance(value, dict) else [(name, value)]
    return pairs
