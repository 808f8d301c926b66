"""The user's own keys: `keymap.toml` in the configuration folder, one section a place, one line an action."""

from __future__ import annotations

import re
import string
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from textual.binding import Binding, BindingType
from textual.keys import KEY_NAME_REPLACEMENTS, Keys

from engine.contract.errors import UserError
from handreid_tui.runs.safe_files import explain, replace_file
from handreid_tui.ui.preferences import default_file

# Every action that can have another key, by `place.action`; filled as the modules of the screens are imported
ACTIONS: dict[str, Binding] = {}
HEAD = """# Keys of the terminal UI. To change a line, remove the # at its start; separate several keys with commas.
# Names of keys: a letter or sign itself, or ctrl+x, shift+left, f5, enter, space, pageup.
"""
MODIFIERS = ("ctrl", "shift", "alt", "super", "hyper", "meta")


def named(place: str, bindings: list[Binding]) -> list[BindingType]:
    """The bindings of a place, each with its name in the keymap: `runs.mark-all`."""
    found = [replace(each, id=f"{place}.{_slug(each.description)}") for each in bindings]
    assert len({each.id for each in found}) == len(found), f"two actions of {place} have one name"
    ACTIONS.update({str(each.id): each for each in found})
    return [*found]


def keymap_file() -> Path:
    return default_file().with_name("keymap.toml")


def read_keymap(path: Path) -> dict[str, str]:
    """The keys by name of action; empty without a file. Raises UserError on a mistake in it."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: save it as UTF-8 in your editor.") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} cannot be read: {error}.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {explain(error)}") from None
    found: dict[str, str] = {}
    for place, actions in raw.items():
        for action, keys in actions.items() if isinstance(actions, dict) else [("", None)]:
            name = _checked_name(path, f"{place}.{action}".rstrip("."))
            found[name] = _checked_keys(path, name, keys)
    _check_clashes(path, found)
    return found


def write_template(path: Path) -> None:
    """Write a keymap file that changes nothing, with every action and its keys. Raises UserError."""
    lines, place = [HEAD], ""
    for name, binding in sorted(ACTIONS.items(), key=lambda item: item[0].partition(".")[0]):
        own, _, action = name.partition(".")
        if own != place:
            lines.append(f"\n[{own}]\n")
            place = own
        keys = ", ".join(key.strip() for key in binding.key.split(","))
        does = f"  # {binding.tooltip}" if binding.tooltip else ""
        lines.append(f'# {action} = "{keys}"{does}\n')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, "".join(lines).encode())
    except OSError as error:
        raise UserError(f"{path} cannot be written: {explain(error)}") from None


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _checked_name(path: Path, name: str) -> str:
    if name not in ACTIONS:
        import difflib

        close = difflib.get_close_matches(name, ACTIONS, 1)
        other = f" Did you mean {close[0]}?" if close else ""
        raise UserError(f"{path}: no such action: {name}.{other}")
    return name


def _checked_keys(path: Path, name: str, keys: object) -> str:
    if not isinstance(keys, str) or not keys.strip():
        raise UserError(f'{path}: {name} takes keys as text, such as "ctrl+d" or "d, delete", but got {keys!r}.')
    for key in _apart(keys):
        *modifiers, last = key.split("+") if len(key) > 1 else [key]
        if not _is_key(last) or not set(modifiers) <= set(MODIFIERS):
            raise UserError(f"{path}: no such key: {key!r} (of {name}).")
    return ",".join(_apart(keys))


def _apart(keys: str) -> list[str]:
    return [key.strip() for key in keys.split(",")]


def _is_key(name: str) -> bool:
    return len(name) == 1 or name in {key.value for key in Keys} or name in map(_long, string.punctuation)


def _check_clashes(path: Path, keymap: Mapping[str, str]) -> None:
    """Two actions of one place on one key: which one works would be left to chance."""
    taken: dict[tuple[str, str], str] = {}
    for name in [*keymap, *(name for name in ACTIONS if name not in keymap)]:
        place = name.partition(".")[0]
        for key in _apart(keymap.get(name, ACTIONS[name].key)):
            first = taken.setdefault((place, _long(key)), name)
            if first != name and first in keymap:
                raise UserError(
                    f"{path}: {key!r} is assigned to both {first} and {name}: give one of them another key."
                )


def _long(key: str) -> str:
    """A sign by its name, as Textual has it: `?` is `question_mark`."""
    if len(key) > 1 or key.isalnum():
        return key
    name = unicodedata.name(key).lower().replace("-", "_").replace(" ", "_")
    return KEY_NAME_REPLACEMENTS.get(name, name)
