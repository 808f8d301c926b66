"""Logs as programs write them: progress bars, carriage returns, control sequences, any bytes in any pieces."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from handreid_tui.runs.log_text import LogReader, TerminalText, last_line, lines_of
from handreid_tui.runs.state import observe

BAR = "".join(f"\rweights: {part:3}%" for part in range(101)) + "\n"
NESTED = "outer 0%" + "".join(f"\n\rinner {part}%\x1b[A" for part in range(100)) + "\router 100%\n\ndone\n"


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        (BAR + "next\n", ["weights: 100%", "next"]),
        ("a\r\nb\r\n\r\nc\r\n", ["a", "b", "", "c"]),
        ("loading ...\rdone\n", ["doneing ..."]),
        ("loading ...\r\x1b[Kdone\n", ["done"]),
        ("\x1b[2K\rloading\x1b[2K\rdone\n", ["done"]),
        ("spin |\b/\b-\b\\\b ok\n", ["spin  ok"]),
        ("\x1b]0;retitled\x07\x1b[2Jcleared\n", ["cleared"]),
        ("\x1b]8;;http://example\x1b\\link\x1b]8;;\x1b\\\n", ["link"]),
        ("\x1b[1;31mred\x1b[0m \x1b[38;2;1;2;3mtrue\x1b[m\n", ["red true"]),
        ("\x1bP+q544e\x1b\\\x1b(B\x1b=\x1b7text\x1b8\n", ["text"]),
        ("\x9b31mC1\x9d0;title\x9c\n", ["C1"]),
        ("a\x00b\x07c\x0bd\u202ee\tf\n", ["abcde\tf"]),
        (NESTED, ["outer 100%", "inner 99%", "done"]),
        ("no end", ["no end"]),
        ("", []),
    ],
)
def test_a_log_reads_as_a_terminal_shows_it(output: str, lines: list[str]) -> None:
    assert lines_of(output) == lines


@pytest.mark.parametrize("seed", range(20))
def test_the_pieces_in_which_a_log_arrives_do_not_matter(seed: int, tmp_path: Path) -> None:
    chosen = random.Random(seed)
    output = (BAR + "größer ✓ 手\r\n\x1b]0;title\x07\x1b[31mred\x1b[0m\r\nlast").encode()
    log, reader, lines = tmp_path / "trainer.log", LogReader(tmp_path / "trainer.log"), list[str]()
    with log.open("ab", buffering=0) as file:
        while output:
            size = chosen.randint(1, 40)
            file.write(output[:size])
            output = output[size:]
            lines += reader.read()
    assert lines + reader.rest() == ["weights: 100%", "größer ✓ 手", "red", "last"]


def test_any_bytes_give_printable_lines() -> None:
    chosen = random.Random(0)
    alphabet = [
        b"\x1b",
        b"[",
        b"]",
        b"\r",
        b"\n",
        b"\b",
        b"A",
        b"K",
        b"2",
        b";",
        b"\x9b",
        b"\xc3",
        b"\xff",
        b"x",
        b"\x07",
    ]
    for _ in range(2000):
        output = b"".join(chosen.choices(alphabet, k=60)).decode(errors="replace")
        terminal, lines = TerminalText(), list[str]()
        for at in range(0, len(output), 7):
            lines += terminal.feed(output[at : at + 7])
        assert all(line.isprintable() for line in lines + terminal.rest())


def test_the_end_of_a_long_log_begins_with_a_whole_line(tmp_path: Path) -> None:
    log = tmp_path / "trainer.log"
    log.write_text("".join(f"line {n:06}\n" for n in range(10_000)))
    lines = LogReader(log, tail=1000).read()
    assert 70 < len(lines) < 100 and all(len(line) == 11 for line in lines) and lines[-1] == "line 009999"
    log.write_text("a new beginning\n")
    reader = LogReader(log)
    assert reader.read() == ["a new beginning"]
    log.write_text("shorter\n")
    assert reader.read() == ["shorter"]
    assert LogReader(tmp_path / "absent").read() == []


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (b"Traceback\r\nKeyError: 'x'\r\n\r\n", "KeyError: 'x'"),
        (b"\r  1%\r 99%\rSegmentation fault\n", "Segmentation fault"),
        (b"\x1b[31mCUDA error\x1b[0m\n\x1b]0;gone\x07\n", "CUDA error"),
    ],
)
def test_the_reason_of_a_failure_is_the_last_line_that_says_something(tmp_path: Path, output: bytes, said: str) -> None:
    (tmp_path / "trainer.log").write_bytes(output)
    (tmp_path / "exit.json").write_text('{"status": 1}')
    assert last_line(output) == said
    assert observe(tmp_path).reason == f"The trainer exited with status 1 and wrote no result: {said}"
