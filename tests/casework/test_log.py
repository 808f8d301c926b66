"""Oracle 16: the log of a case, its chain, and what `verify` says of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.contract.errors import UserError
from handreid_tui.casework import log
from tests.cli.test_openset import handreid


@pytest.fixture
def case(tmp_path: Path) -> Path:
    folder = tmp_path / "cases" / "0001-first"
    folder.mkdir(parents=True)
    (folder / "candidates.csv").write_text("rank\n1\n")
    digest = "5a3f3ba8e9b0c1f2"
    log.append(folder, "start", command=["identify", "é"])
    log.append(folder, "result", candidates=3, note=digest)
    log.append(folder, "end")
    return folder


def test_editing_any_byte_is_found(case: Path) -> None:
    content = (case / log.FILE).read_bytes()
    assert not log.check_lines(content).fault
    for place in range(len(content)):
        for changed in (content[place] ^ 1, 0x20):
            if changed != content[place]:
                edited = content[:place] + bytes([changed]) + content[place + 1 :]
                assert log.check_lines(edited).fault, place
        assert log.check_lines(content[:place] + content[place + 1 :]).fault
    assert log.check_lines(content + b" ").fault


def test_lines_taken_out_or_exchanged_are_found(case: Path) -> None:
    first, second, third = (case / log.FILE).read_bytes().splitlines(keepends=True)
    assert log.check_lines(second + third).fault
    assert log.check_lines(first + third).fault
    assert log.check_lines(second + first + third).fault
    assert not log.check_lines(first + second).fault  # why the head is to be noted elsewhere


def test_two_people_verify_and_the_check_names_them(case: Path) -> None:
    for name in ("A. Examiner", "B. Examiner", "A. Examiner"):
        done = handreid("verify", "1", "--by", name, "--finding", "creases agree", cwd=case.parents[1])
        assert done.returncode == 0, done.stderr
    done = handreid("verify", "last", "--check", cwd=case.parents[1])
    assert "6 entries, all unchanged" in done.stdout
    assert "Verified by 2 of 2 people: A. Examiner, B. Examiner" in done.stdout


def test_a_head_noted_before_is_looked_for(case: Path) -> None:
    head = log.check(case).head
    log.append(case, "verification", by="A", finding="nothing")
    assert handreid("verify", "1", "--check", "--head", head, cwd=case.parents[1]).returncode == 0
    (case / log.FILE).unlink()
    log.append(case, "start", command=["rewritten"])
    done = handreid("verify", "1", "--check", "--head", head, cwd=case.parents[1])
    assert done.returncode == 2 and "it was rewritten" in done.stderr


def test_a_damaged_log_is_reported_and_never_continued(case: Path) -> None:
    content = (case / log.FILE).read_text()
    (case / log.FILE).write_text(content.replace('"candidates":3', '"candidates":4'))
    done = handreid("verify", "1", "--check", cwd=case.parents[1])
    assert done.returncode == 2 and "line 2 was changed" in done.stderr
    with pytest.raises(UserError, match="nothing is added"):
        log.append(case, "verification", by="A", finding="agrees")


def test_a_file_that_the_log_names_must_be_as_it_was(case: Path, tmp_path: Path) -> None:
    log.append(case, "result", files={"candidates.csv": "0" * 64})
    done = handreid("verify", "1", "--check", cwd=tmp_path)
    assert done.returncode == 2 and "candidates.csv does not match the log" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["1"], "takes either"),
        (["1", "--by", "A", "--check", "--finding", "x"], "takes either"),
        (["1", "--by", "A"], "needs a name and a finding"),
        (["9", "--check"], "No such case"),
    ],
)
def test_a_mistake_is_one_sentence(case: Path, words: list[str], said: str) -> None:
    done = handreid("verify", *words, cwd=case.parents[1])
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr


def test_entries_are_plain_json(case: Path) -> None:
    entries = [json.loads(line) for line in (case / log.FILE).read_text().splitlines()]
    assert [entry["kind"] for entry in entries] == ["start", "result", "end"]
    assert all(entry["t"].endswith("Z") and entry["user"] for entry in entries)
