"""The table of 11k Hands, `HandInfo.csv`, as it was published and as programs save it again.

Read are comma, semicolon, tab and `|` as separators; UTF-8 with or without BOM, UTF-16, Latin-1; columns in any order
and with any others beside; `uuid`, as some copies name it, for `id`; and a table without its header line, where the
columns are in the published order, after a column of row numbers or not.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.errors import UserError
from engine.data.catalog import ASPECTS
from engine.data.wording import count

if TYPE_CHECKING:
    from _csv import Reader

FILES = ("HandInfo.csv", "HandInfo.txt", "HandInfo.tsv")
COLUMNS = ("id", "accessories", "aspectOfHand", "imageName")
LABELS = ("gender", "skinColor", "age")  # of the person; a table may lack them
PUBLISHED = (  # the order of the published table
    *("id", "age", "gender", "skinColor", "accessories", "nailPolish"),
    *("aspectOfHand", "imageName", "irregularities"),
)
ALSO_CALLED = {"id": ("uuid", "person", "personid", "subject", "subjectid")}
SEPARATORS = ",;\t|"
YES_OR_NO = {"0": False, "0.0": False, "false": False, "no": False, "1": True, "1.0": True, "true": True, "yes": True}


@dataclass(frozen=True)
class Row:
    person: int
    aspect: str
    accessories: bool
    name: str
    labels: tuple[str, ...]  # in the order of LABELS; empty where the table has none


def read_table(path: Path) -> list[Row]:
    """The rows of the table. Raises UserError, with the line, on anything that is not what it should be."""
    text = _decode(path)
    separator = _separator(text)
    if text.lower().startswith("sep="):  # Excel's own line about its separator
        text = "\n" + text.partition("\n")[2]  # the line numbers stay
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows: list[Row] = []
    try:
        rows.extend(_parse(path, reader, separator))
    except csv.Error as error:
        raise UserError(
            f"{path}, line {reader.line_num}: {error}. Use the table as published with 11k Hands."
        ) from None
    if not rows:
        raise UserError(f"{path} has no rows.")
    return rows


def _decode(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    if content.startswith(b"version https://git-lfs"):
        raise UserError(f"{path} is a Git LFS pointer, not the table: run `git lfs pull` in its repository.")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings = ["utf-16"]
    elif content[1:2] == b"\0":
        encodings = ["utf-16-le"]
    else:
        encodings = ["utf-8-sig", "latin-1"]
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UserError(f"{path} is not a text file that can be read: save it as UTF-8.")


def _separator(text: str) -> str:
    """The separator that parts the first line into the columns, else the most frequent one in it."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    if (declared := re.match(r"sep=([,;\t|])\s*$", first, re.IGNORECASE)) is not None:
        return declared[1]
    for separator in SEPARATORS:
        if all(_place(first.split(separator), column) is not None for column in COLUMNS):
            return separator
    return max(SEPARATORS, key=first.count)


def _parse(path: Path, reader: Reader, separator: str) -> Iterator[Row]:
    lines: Iterator[tuple[int, list[str]]] = (line for line in _numbered(reader) if any(map(str.strip, line[1])))
    number, first = next(lines, (0, []))
    found = [_place(first, column) for column in COLUMNS]
    places = [place for place in found if place is not None]
    if len(places) < len(COLUMNS):
        headless = _published_places(first)
        if headless is None:
            missing = [column for column, place in zip(COLUMNS, found, strict=True) if place is None]
            raise UserError(
                f"{path} has no column {', '.join(missing)}: its first line must name {', '.join(COLUMNS)}"
                f"{_seen(first, separator)}."
            )
        places = headless
        lines = chain([(number, first)], lines)
        first = [""] * (len(first) - len(PUBLISHED)) + list(PUBLISHED)
    label_places = [_place(first, label) for label in LABELS]
    seen: set[str] = set()
    for number, values in lines:
        line = f"{path}, line {number}"
        if len(values) <= max(*places, *(place for place in label_places if place is not None)):
            raise UserError(
                f"{line}: has {count(len(values), 'value')}, but the first line has {count(len(first), 'column')}."
            )
        labels = ["" if place is None else values[place].strip() for place in label_places]
        row = _row(line, labels, *(values[place].strip() for place in places))
        if row.name in seen:
            raise UserError(f"{line}: the image {row.name} already has a row: delete one of the two.")
        seen.add(row.name)
        yield row


def _numbered(reader: Reader) -> Iterator[tuple[int, list[str]]]:
    for values in reader:
        yield reader.line_num, values


def _place(header: Sequence[str], column: str) -> int | None:
    """Where `column` is, whatever the case of its name and the blanks, quotes, `_` and `-` in it."""
    names = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in header]
    wanted = (column.lower(), *ALSO_CALLED.get(column, ()))
    return next((names.index(name) for name in wanted if name in names), None)


def _published_places(first: Sequence[str]) -> list[int] | None:
    """The places of COLUMNS in a first line that is a row: by the published order, a leading row number aside."""
    for shift in (0, 1):
        places = [PUBLISHED.index(column) + shift for column in COLUMNS]
        if len(first) == len(PUBLISHED) + shift:
            person, accessories, aspect, name = (first[place].strip() for place in places)
            if _number(person) is not None and accessories.lower() in YES_OR_NO and _aspect(aspect) and "." in name:
                return places
    return None


def _seen(first: Sequence[str], separator: str) -> str:
    shown = {"\t": "a tab"}.get(separator, f"'{separator}'")
    if len(first) < 2:
        return ", separated by a comma, a semicolon or a tab"
    return f" (it is read as {count(len(first), 'column')} separated by {shown})"


def _number(text: str) -> int | None:
    match = re.fullmatch(r"([0-9]{1,18})(\.0+)?", text)  # pandas writes 7.0 where a value is missing elsewhere
    return int(match[1]) if match else None


def _aspect(text: str) -> str | None:
    words = re.split(r"[\s_-]+", text.strip().lower())
    return next((aspect for aspect in ASPECTS if sorted(aspect.split("-")) == sorted(words)), None)


def _row(line: str, labels: Sequence[str], person: str, accessories: str, aspect: str, name: str) -> Row:
    number, known = _number(person), _aspect(aspect)
    if number is None:
        raise UserError(f"{line}: the id {_short(person)} is not a whole number.")
    if accessories.lower() not in YES_OR_NO:
        raise UserError(f"{line}: accessories is {_short(accessories)}, but must be 0 or 1.")
    if known is None:
        names = ", ".join(aspect.replace("-", " ") for aspect in ASPECTS)
        raise UserError(f"{line}: aspectOfHand is {_short(aspect)}, but must be one of {names}.")
    if not name.isprintable() or not name or name.startswith(".") or any(mark in name for mark in "/\\:"):
        raise UserError(f"{line}: the image name {_short(name)} is not the plain name of a file.")
    return Row(number, known, YES_OR_NO[accessories.lower()], name, tuple(labels))


def _short(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:40] + "…")
