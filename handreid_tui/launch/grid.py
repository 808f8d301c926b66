"""Grids as a user writes them: `0.1,0.3` is two values, `ce+triplet:0.1,0.5` two combinations. Pure text, no files.

A comma separates values outside brackets only, so `[30,50]` is one value. Paths and names of models and weights are
never split.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.contract.combos import COMBOS
from engine.contract.errors import UserError

NEVER_SPLIT = ("data.source", "model.name", "model.pretrained")
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"\s*{_NUMBER}\s*\.\.\s*{_NUMBER}\s*(?::.*)?", re.DOTALL)
_NUMBER_FOLLOWS = re.compile(rf"\s*{_NUMBER}\s*(?=[,+]|$)")

Axes = dict[str, list[Any]]


def split_values(text: str) -> list[str]:
    """The values between the commas outside brackets. Raises UserError where one is empty or a bracket stays open."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[{(") - (character in ")}]")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    if depth:
        raise UserError(f"{text!r} has a bracket without its partner.")
    if len(parts) > 1 and not all(part.strip() for part in parts):
        raise UserError(f"{text!r} has an empty value between its commas.")
    return parts


def is_range(text: str) -> bool:
    """Whether `text` is a range like `1e-6..3e-5:log`, which `handreid tune` samples."""
    return _RANGE.fullmatch(text) is not None


def read_values(key: str, text: str) -> list[Any]:
    """The values that `text` gives to the setting `key`, without repetition; JSON where it is JSON.

    Raises UserError on a key that does not exist and on a range.
    """
    from engine.contract.config import parse_setting  # imports pydantic: 0.1 s

    if key in NEVER_SPLIT:
        value = parse_setting(f"{key}={text}")[1]
        return [value if isinstance(value, str) else text]
    if is_range(text):
        raise UserError(
            f"{key}={text} is a range, which only `handreid tune --over {key}={text}` samples: "
            "give the values themselves, separated by commas."
        )
    found = [parse_setting(f"{key}={part.strip()}")[1] for part in split_values(text)]
    return [value for place, value in enumerate(found) if value not in found[:place]]


def read_setting(text: str) -> tuple[str, list[Any]]:
    """`KEY=VALUE[,VALUE…]` as key and values. Raises UserError as `read_values`, and where there is no `=`."""
    key, equals, values = text.partition("=")
    if not equals:
        raise UserError(f"--set takes KEY=VALUE, but got {text!r}.")
    return key, read_values(key, values)


def read_combos(texts: Iterable[str], own: Iterable[str] = ()) -> list[str]:
    """The combinations that `texts` name, in order and once each; a list of weights gives one for each weight.

    `own`: names of the user's combinations, which stay as they are. Raises UserError on a range and an empty weight.
    """
    named = {*COMBOS, *own}
    found = itertools.chain.from_iterable([text] if text in named else _expand(text) for text in texts)
    return list(dict.fromkeys(found))


def _expand(text: str) -> list[str]:
    """`ce,ce+triplet:0.1,0.5` is `ce`, `ce+triplet:0.1` and `ce+triplet:0.5`: a number goes on with the weights."""
    split_values(text)  # an empty value is refused
    combos, start = [], 0
    for place, character in enumerate(text):
        if character == "," and not _NUMBER_FOLLOWS.match(text, place + 1):
            combos.append(text[start:place])
            start = place + 1
    combos.append(text[start:])
    return [expanded for combo in combos for expanded in _weights(combo.strip())]


def _weights(combo: str) -> list[str]:
    choices = []
    for part in combo.split("+"):
        term, colon, weights = part.partition(":")
        if is_range(weights):
            raise UserError(
                f"The weight {weights!r} in {combo!r} is a range, which only `handreid tune` samples: "
                "give the weights themselves, separated by commas."
            )
        choices.append([f"{term}:{weight.strip()}" for weight in weights.split(",")] if colon else [part])
    return ["+".join(parts) for parts in itertools.product(*choices)]


def combinations(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of one value of each axis; the last axis varies fastest. One empty one without axes."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
