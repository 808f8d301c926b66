"""stdout and stderr that take every text: terminals that are not UTF-8, and names that are not UTF-8.

File names with bytes that are no UTF-8 reach Python as surrogates, which no encoding writes. A terminal of Latin-1 or
ASCII has no `…` and no `█`. Neither is a reason to fail: such characters are replaced by something readable.
"""

from __future__ import annotations

import codecs
import io
import os
import sys

ERRORS = "handreid_readable"

# What our own tables and sentences use beyond ASCII.
ASCII = {
    "…": "...",
    "–": "-",
    "—": "-",
    "−": "-",
    "·": "*",
    "×": "x",
    "±": "+-",
    "→": "->",
    "←": "<-",
    "↑": "^",
    "↓": "v",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "✓": "ok",
    "✗": "no",
    "▶": ">",
    "■": "#",
    "━": "=",
    "╸": "-",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "²": "2",
    "Δ": "d",
}


def use_readable_streams() -> None:
    """Let stdout and stderr replace what they cannot encode; one that is closed (`>&-`) swallows everything."""
    codecs.register_error(ERRORS, _replace)
    sys.stdout, sys.stderr = (
        stream or io.TextIOWrapper(io.FileIO(os.devnull, "w")) for stream in (sys.stdout, sys.stderr)
    )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ERRORS)


def readable(text: str) -> str:
    """`text` with every byte that is no UTF-8 written as `\\xe9`, for places that take Unicode only: the UI, HTML."""
    return "".join(_byte(c) if "\ud800" <= c <= "\udfff" else c for c in text) if not text.isascii() else text


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = "".join(_byte(c) or ASCII.get(c, "?") for c in error.object[error.start : error.end])
    return text, error.end


def _byte(character: str) -> str:
    """`\\xe9` for the surrogate that stands for that byte of a file name; `?` for another one; else nothing."""
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return "?" if "\ud800" <= character <= "\udfff" else ""
