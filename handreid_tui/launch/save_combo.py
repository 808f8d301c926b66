"""A combination of the user's own, written to handreid.toml under a name."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from engine.contract.combos import COMBOS, Combo
from engine.contract.errors import UserError
from engine.contract.terms import TERMS
from handreid_tui.runs.safe_files import explain, replace_file
from handreid_tui.settings import FILE, read_user_file


def check_combo_name(name: str) -> None:
    """Raises UserError where a combination cannot have this name."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name.strip()):
        raise UserError("A name may contain letters, digits, - and _ only.")
    if name.strip() in COMBOS or name.strip() in TERMS:
        raise UserError(f"{name.strip()!r} already exists: choose another name.")


def save_combo(name: str, combo: Combo, path: Path = FILE) -> None:
    """Write [combos.NAME] to `path`, in the place of a section of that name if there is one; the rest stays as it is.

    Raises UserError, with nothing written, where the file has a mistake, defines the name in another form, or cannot be
    written.
    """
    check_combo_name(name)
    known = read_user_file(path).combos
    text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
    section = re.compile(rf"^\[combos\.{re.escape(name)}\][^\n]*\n.*?(?=^\s*\[|\Z)", re.MULTILINE | re.DOTALL)
    if section.search(text):
        changed = section.sub(lambda _: f"{_section(name, combo)}\n", text).rstrip() + "\n"
    elif name in known:
        raise UserError(f"{path} defines {name!r} in another form: edit it there.")
    else:
        changed = f"{text.rstrip()}\n\n{_section(name, combo)}".lstrip()
    tomllib.loads(changed)  # a bug here must not cost the user's file
    try:
        replace_file(path, changed.encode())
    except OSError as error:
        raise UserError(f"{path} cannot be written: {explain(error)}") from None


def _section(name: str, combo: Combo) -> str:
    lines = [f"[combos.{name}]", f"does = {json.dumps(combo.does)}"]
    if system := _system_of(combo):
        lines.append(f"like = {json.dumps(system)}")
    for term, weight in combo.weights.items():
        if options := combo.options.get(term, {}):
            inner = ", ".join(f"{key} = {json.dumps(value)}" for key, value in {"weight": weight, **options}.items())
            lines.append(f"{term} = {{{inner}}}")
        else:
            lines.append(f"{term} = {json.dumps(weight)}")
    return "\n".join(lines) + "\n"


def _system_of(combo: Combo) -> str | None:
    """The named combination whose settings and recipe, which a section has no other place for, `combo` has."""
    if not (combo.settings or combo.recipe):
        return None
    return next(name for name, each in COMBOS.items() if (each.settings, each.recipe) == (combo.settings, combo.recipe))
