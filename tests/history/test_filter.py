"""The filter language of runs."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract.errors import UserError
from engine.contract.metrics import metric_columns
from handreid_tui.history.filter import parse_filter

RUN = {
    "run": 12,
    "name": "0012-ce_triplet",
    "combo": "ce_triplet",
    "seed": 0,
    "status": "finished",
    "tag": ("paper", "night"),
    "note": "Larger margin, once more",
    "archived": False,
    "mAP": 0.912,
    "rank1": None,
    "train.lr": 5e-6,
    "train.optimizer": "adam",
    "loss.triplet.margin": 0.3,
}


def fits(text: str) -> bool:
    return parse_filter(text).matches(RUN.get)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "triplet",
        "MARGIN",
        '"once more"',
        "combo:ce_triplet",
        "combo:ce_*",
        "tag:paper -status:failed",
        "mAP>0.9",
        "mAP>90",
        "mAP>=91.2%",
        "mAP<1",
        "map>0.9",
        "lr<=1e-5",
        "train.lr=5e-6",
        "optimizer:adam",
        "loss.triplet.margin=0.3",
        "note:larger",
        "has:note has:mAP -has:rank1",
        "not has:rank1",
        "status:failed or tag:night",
        "combo:ce or (combo:ce_triplet and seed:0)",
        "not (status:failed or seed:1)",
        "seed!=1",
        "run>=12",
        "archived:no",
    ],
)
def test_these_let_the_run_through(text):
    assert fits(text)


@pytest.mark.parametrize(
    "text",
    [
        "arcface",
        "combo:ce",
        "tag:pap",
        "-tag:paper",
        "mAP>0.95",
        "rank1>0",
        "rank1<1",
        "lr>1e-5",
        "has:rank1",
        "status:finished status:failed",
        "seed:0 and not combo:ce_triplet",
        "note>3",
    ],
)
def test_these_do_not(text):
    assert not fits(text)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("mapp>0.9", "'mAP'"),
        ("(combo:ce", "("),
        ("combo:ce)", ")"),
        ('"open', "closed"),
        ("combo:ce or", "missing"),
        ("mAP>high", "number"),
        ("mAP>", "value"),
    ],
)
def test_a_mistake_is_one_sentence_that_helps(text, word):
    with pytest.raises(UserError) as error:
        parse_filter(text)
    assert word in str(error.value)


@given(st.text(alphabet='abmAP:<>=!()-" *.0159%or', max_size=25))
def test_no_text_raises_anything_else(text):
    with suppress(UserError):
        parse_filter(text).matches(RUN.get)


@pytest.mark.parametrize("column", metric_columns())
def test_every_metric_of_a_run_can_be_filtered_by(column: str) -> None:
    wanted = parse_filter(f"{column}>0.5 has:{column}")
    assert wanted.keys == {column}
    assert [wanted.matches(lambda key, value=value: value) for value in (0.4, 0.6, None)] == [False, True, False]
