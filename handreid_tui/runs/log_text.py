"""trainer.log as text: what `cat` would leave on a terminal, without anything that could control the terminal.

`handreid logs`, the Live screen and the reason of a failure all read logs through this module. The standard library
alone: the shim imports this too.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from handreid_tui.runs.safe_files import open_file

PIECE = 1 << 20  # bytes read at once, at most
LONGEST_LINE = 10_000  # characters kept of a line

# Operating-system commands and other strings up to their terminator; control sequences; other escapes.
_STRING = r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
_SEQUENCE = r"(?:\x1b\[|\x9b)([0-9;:<=>?]*)[ -/]*([@-~])"
_TOKEN = re.compile(rf"{_STRING}|{_SEQUENCE}|\x1b[ -/]*[0-~]?|[\r\n\b]")
_UNFINISHED = re.compile(
    r"(?:\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\x9c\n]*\x1b?|[ -/]*)"
    r"|\x9b[0-?]*[ -/]*|[\x9d\x90\x98\x9e\x9f][^\x07\x1b\x9c\n]*)\Z"
)
_LONGEST_SEQUENCE = 4096  # characters that wait for the end of a control sequence


class TerminalText:
    """Turns output into lines, as it arrives in pieces.

    Carriage return and backspace overwrite, "erase" and "cursor up" do what progress bars use them for, all other
    control characters and sequences are dropped, colours too. A line is complete when the cursor has left it downwards.
    """

    def __init__(self) -> None:
        self._rows: list[list[str]] = [[]]
        self._row = self._column = 0
        self._height = self._below = 0  # rows that the cursor was moved up; lines since then
        self._held = ""  # the beginning of a control sequence that the next piece ends

    def feed(self, text: str) -> list[str]:
        """The lines that `text` completes."""
        text, self._held = self._held + text, ""
        if (unfinished := _UNFINISHED.search(text)) and len(unfinished[0]) <= _LONGEST_SEQUENCE:
            text, self._held = text[: unfinished.start()], unfinished[0]
        at = 0
        for token in _TOKEN.finditer(text):
            self._put(text[at : token.start()])
            self._control(token[0], token[1], token[2])
            at = token.end()
        self._put(text[at:])
        held_rows = self._height if self._below <= self._height else 0  # several bars, one below the other
        end = max(0, self._row - held_rows)
        done, self._rows, self._row = self._rows[:end], self._rows[end:], self._row - end
        return ["".join(row).rstrip() for row in done]

    def rest(self) -> list[str]:
        """The lines that are not complete yet: the one with the cursor, and those below it."""
        lines = ["".join(row).rstrip() for row in self._rows]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def _put(self, text: str) -> None:
        shown = text if text.isprintable() else "".join(c for c in text if c.isprintable() or c == "\t")
        row, room = self._rows[self._row], LONGEST_LINE - self._column
        row.extend(" " * (self._column - len(row)))
        row[self._column : self._column + len(shown)] = shown[: max(0, room)]
        self._column = min(self._column + len(shown), LONGEST_LINE)

    def _control(self, token: str, parameters: str | None, final: str | None) -> None:
        if token == "\n":
            self._row, self._column, self._below = self._row + 1, 0, self._below + 1
            if self._row == len(self._rows):
                self._rows.append([])
        elif token == "\r":
            self._column = 0
        elif token == "\b":
            self._column = max(0, self._column - 1)
        elif final == "A" or final == "F":
            self._height, self._below = max(1, min(self._row, _count(parameters))), 0
            self._row = max(0, self._row - self._height)
            self._column = 0 if final == "F" else self._column
        elif final == "K":
            row = self._rows[self._row]
            if parameters in ("", "0"):
                del row[self._column :]
            elif parameters == "2":
                row.clear()


def _count(parameters: str | None) -> int:
    return int(parameters) if parameters and parameters.isdecimal() else 1


def lines_of(text: str) -> list[str]:
    """All lines of a whole text."""
    terminal = TerminalText()
    return terminal.feed(text) + terminal.rest()


def last_line(output: bytes) -> str:
    """The last line with something on it; "" where there is none."""
    return next((line.strip() for line in reversed(lines_of(output.decode(errors="replace"))) if line.strip()), "")


class LogReader:
    """Follows a log file. For one thread at a time.

    `tail`: begin that many bytes before the end of the file; None: at its beginning.
    """

    def __init__(self, path: Path, tail: int | None = None) -> None:
        self.path, self._tail = path, tail
        self._offset = 0
        self._begun = self.behind = False
        self._text = TerminalText()
        self._bytes = b""  # of a character that the next piece ends

    def read(self) -> list[str]:
        """New complete lines, of about PIECE bytes at most; `behind` says whether there are more.

        A missing file has none; a file that was replaced is read from its beginning.
        """
        file = open_file(self.path)
        if file is None:
            return []
        try:
            return self._read(file, os.fstat(file).st_size)
        except OSError:
            return []
        finally:
            os.close(file)

    def rest(self) -> list[str]:
        """The lines at the end that are not complete."""
        return self._text.rest()

    def _read(self, file: int, size: int) -> list[str]:
        cut = False
        if not self._begun or size < self._offset:
            self._begun, self._text, self._bytes = True, TerminalText(), b""
            self._offset = max(0, size - self._tail) if self._tail is not None else 0
            cut = self._offset > 0
        block = os.pread(file, min(PIECE, size - self._offset), self._offset)
        self._offset += len(block)
        self.behind = self._offset < size and bool(block)
        return self._text.feed(
            self._decoded(block.partition(b"\n")[2] if cut else block)
        )  # the first line is only a part

    def _decoded(self, block: bytes) -> str:
        block, self._bytes = self._bytes + block, b""
        for length in range(1, min(4, len(block) + 1)):
            lead = block[-length]
            if lead >= 0xC0:  # the first byte of a character of 2 to 4 bytes
                if length < (2 if lead < 0xE0 else 3 if lead < 0xF0 else 4):
                    block, self._bytes = block[:-length], block[-length:]
                break
            if lead < 0x80:
                break
        return block.decode(errors="replace")
