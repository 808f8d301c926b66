"""The folder of a case: made whole or not at all, with a number of its own, for its owner alone."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import UserError
from handreid_tui.runs.safe_files import explain

_NAME = re.compile(r"([0-9]{4,9})-.+")


@dataclass
class NewCase:
    """A case that is being made in `folder`; after the block, it lies at `path`."""

    folder: Path
    path: Path


@contextmanager
def new_case(cases: Path, name: str) -> Iterator[NewCase]:
    """A folder to fill. It gets the next number when the block ends, and is removed where the block raises.

    Raises UserError where `cases` cannot be written.
    """
    try:
        cases.mkdir(parents=True, exist_ok=True)
        folder = cases / f".new-{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise UserError(f"No case can be made in {cases}: {_why(error)}") from None
    made = NewCase(folder, folder)
    try:
        yield made
        made.path = _publish(cases, folder, name)
    except OSError as error:
        raise UserError(f"No case can be made in {cases}: {_why(error)}") from None
    finally:
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)


def _publish(cases: Path, folder: Path, name: str) -> Path:
    lock = os.open(cases / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        numbers = [int(found[1]) for each in cases.iterdir() if (found := _NAME.fullmatch(each.name))]
        path = cases / f"{max(numbers, default=0) + 1:04d}-{plain_name(name)}"
        folder.rename(path)
        return path
    finally:
        os.close(lock)


def plain_name(name: str) -> str:
    """A name as a part of a folder's name: letters, digits and . _ - alone."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:80] or "case"


def keep_apart(place: Path, option: str, gallery: Path, photos: list[Path]) -> None:
    """Raises UserError where `place` lies in the gallery or beside a photo: nothing is written there."""
    whole = place.absolute().resolve()
    if whole.is_relative_to(gallery.resolve()):
        raise UserError(
            f"{place} is inside the gallery, and nothing is written there: choose another place with {option}."
        )
    for photo in photos:
        if whole.parent == photo.resolve().parent or whole == photo.resolve().parent:
            raise UserError(
                f"{place} is beside {photo}, and nothing is written there: choose another place with {option}."
            )


def find_case(cases: Path, text: str) -> Path:
    """The folder of a case: a path, its number, its name, or `last`. Raises UserError where none or several fit."""
    if "/" in text or (Path(text).is_dir() and not text.isdecimal()):
        return Path(text)
    there = sorted((int(found[1]), each) for each in _folders(cases) if (found := _NAME.fullmatch(each.name)))
    if text == "last" and there:
        return there[-1][1]
    fitting = [path for number, path in there if text.isdecimal() and int(text) == number]
    fitting = fitting or [path for _, path in there if text in (path.name, path.name.partition("-")[2])]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UserError(f"{text!r} matches {len(fitting)} cases in {cases}: give a number.")
    raise UserError(f"No such case in {cases}: {text}")


def _folders(cases: Path) -> list[Path]:
    try:
        return [each for each in cases.iterdir() if each.is_dir() and not each.is_symlink()]
    except OSError:
        return []


def _why(error: OSError) -> str:
    return explain(error).replace("--runs", "--cases")
