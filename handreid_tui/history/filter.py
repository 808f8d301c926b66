"""The filter language of runs: `combo:ce_arcface mAP>0.9 tag:paper -status:failed`.

    word                     in the name, the combination, a tag or the note
    key:value                equal; * and ? stand for anything; name and note: contains
    key=v key!=v key<v <= > >=   compared as numbers where both are; rates as fractions or percent (mAP>90)
    has:key                  there is a value (has:note, has:mAP)
    a b, a and b · a or b · not a, -a · ( )

Keys: those of a run (combo, status, seed, tag, …), its metrics (rank1, mAP, …), the last value of any stored metric by
its name (val/mINP), and any configuration key, by its whole name (train.lr) or its last part (lr). The last part of a
loss option (margin) is that of any loss of the run.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from engine.contract.errors import UserError
from engine.contract.metrics import fractions, metric_columns
from engine.contract.terms import TERMS

Values = Callable[[str], Any]
"""Gives a run's value of a key: text, number, bool, a collection of texts, or None where there is none."""

RUN_KEYS = (
    "run", "name", "combo", "seed", "status", "reason", "stalled", "tag", "note", "archived", "dataset", "subset",
    "gallery", "model", "pretrained", "device", "host", "epochs", "epoch", "best_epoch", "steps", "step", "seconds",
    "fingerprint", "sweep", "role", "trial",
)  # fmt: skip
METRICS = tuple(metric_columns())
STORED = ("val", "test", "before", "pixels", "geometry", "epoch", "system", "term")  # first words of stored metrics
ALIASES = {"number": "run", "tags": "tag", "data": "dataset", "rank-1": "rank1", "map": "mAP", "time": "seconds"}
CONTAINS = ("name", "note", "reason", "dataset", "model")
SEARCHED = ("name", "combo", "tag", "note")

_TOKEN = re.compile(r'\s*(?:([()])|((?:[^\s()"]|"[^"]*")+)|("))')
_TERM = re.compile(r"(-?)([A-Za-z_][\w.\-/]*?)(:|!=|<=|>=|=|<|>)(.*)", re.DOTALL)


@dataclass(frozen=True)
class Filter:
    """A parsed filter. `keys`: every key whose value it may ask for."""

    text: str
    keys: frozenset[str]
    matches: Callable[[Values], bool]


def parse_filter(text: str) -> Filter:
    """Read a filter; an empty one lets every run through. Raises UserError, in one sentence, on a mistake."""
    keys: set[str] = set()
    tokens = _tokens(text)
    if not tokens:
        return Filter(text, frozenset(), lambda values: True)
    matches = _either(tokens, keys)
    if tokens:
        raise UserError("There is a `)` without its `(` in the filter.")
    return Filter(text, frozenset(keys), matches)


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found or found[3]:
            raise UserError('A `"` in the filter is not closed.')
        tokens.append(found[1] or found[2])
        at = found.end()
    return tokens


def _either(tokens: list[str], keys: set[str]) -> Callable[[Values], bool]:
    parts = [_both(tokens, keys)]
    while tokens and tokens[0].lower() == "or":
        tokens.pop(0)
        parts.append(_both(tokens, keys))
    return parts[0] if len(parts) == 1 else lambda values: any(part(values) for part in parts)


def _both(tokens: list[str], keys: set[str]) -> Callable[[Values], bool]:
    parts = [_one(tokens, keys)]
    while tokens and tokens[0] != ")" and tokens[0].lower() != "or":
        if tokens[0].lower() == "and":
            tokens.pop(0)
        parts.append(_one(tokens, keys))
    return parts[0] if len(parts) == 1 else lambda values: all(part(values) for part in parts)


def _one(tokens: list[str], keys: set[str]) -> Callable[[Values], bool]:
    if not tokens or tokens[0] == ")" or tokens[0].lower() in ("and", "or"):
        raise UserError("Something is missing in the filter, before or after an `and`, `or`, `not` or bracket.")
    token = tokens.pop(0)
    if token.lower() == "not" or token == "-":
        inner = _one(tokens, keys)
        return lambda values: not inner(values)
    if token == "(":
        inner = _either(tokens, keys)
        if not tokens:
            raise UserError("There is a `(` without its `)` in the filter.")
        tokens.pop(0)
        return inner
    return _term(token, keys)


def _term(token: str, keys: set[str]) -> Callable[[Values], bool]:
    if found := _TERM.fullmatch(token):
        minus, name, operator, value = found.groups()
        test = _comparison(name, operator, value.replace('"', ""), keys)
    else:
        minus, word = ("-", token[1:]) if token.startswith("-") and len(token) > 1 else ("", token)
        test = _search(word.replace('"', "").lower())
        keys.update(SEARCHED)
    return (lambda values: not test(values)) if minus else test


def _search(word: str) -> Callable[[Values], bool]:
    return lambda values: any(word in text.lower() for key in SEARCHED for text in _texts(values(key)))


def _comparison(name: str, operator: str, wanted: str, keys: set[str]) -> Callable[[Values], bool]:
    if name == "has":
        key = resolve_key(wanted)
        keys.add(key)
        return lambda values: values(key) not in (None, "", (), [], frozenset())
    key = resolve_key(name)
    keys.add(key)
    if not wanted:
        raise UserError(f"There is no value after `{name}{operator}` in the filter.")
    number = _number(wanted, key)
    if operator in ("<", "<=", ">", ">="):
        if number is None:
            raise UserError(f"`{name}{operator}{wanted}`: {wanted!r} is not a number.")
        return lambda values: _ordered(values(key), operator, number)
    equal = _equality(key, wanted.lower(), number)
    return (lambda values: not equal(values)) if operator == "!=" else equal


def _ordered(value: Any, operator: str, number: float) -> bool:
    if isinstance(value, list):
        return any(_ordered(each, operator, number) for each in value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return {"<": value < number, "<=": value <= number, ">": value > number, ">=": value >= number}[operator]


def _equality(key: str, wanted: str, number: float | None) -> Callable[[Values], bool]:
    pattern = f"*{wanted}*" if key in CONTAINS else wanted

    def equal(value: Any) -> bool:
        if isinstance(value, bool):
            return wanted in (("true", "yes", "1") if value else ("false", "no", "0"))
        if isinstance(value, int | float) and number is not None:
            return abs(value - number) <= 1e-9 * max(1.0, abs(value))
        if isinstance(value, list):
            return any(map(equal, value))
        return any(fnmatchcase(text.lower(), pattern) for text in _texts(value))

    return lambda values: equal(values(key))


def _number(text: str, key: str) -> float | None:
    """`text` as a number; a rate given in percent (above 1, or with a %) as a fraction."""
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        return None
    rate = key in fractions()
    return number / 100 if text.endswith("%") or (rate and number > 1) else number


def _texts(value: Any) -> Iterable[str]:
    if value is None:
        return ()
    return map(str, value) if isinstance(value, list | tuple | set | frozenset) else (str(value),)


def resolve_key(name: str) -> str:
    """The key that a user means by `name`. Raises UserError, with the nearest, where there is none."""
    name = ALIASES.get(name, ALIASES.get(name.lower(), name))
    known = _known_keys()
    if name in known:
        return name
    if name.startswith("loss.") or (name.partition("/")[0] in STORED and "/" in name):
        return name
    folded = {key.lower(): key for key in known}
    if name.lower() in folded:
        return folded[name.lower()]
    ending = [key for key in known if key.rpartition(".")[2] == name and "." in key]
    ending = [key for key in ending if not key.startswith("prompts.")] or ending  # `lr` is that of the training
    if len(ending) == 1:
        return ending[0]
    if not ending and name in ("weight", *(option for term in TERMS.values() for option in term.options)):
        return f"loss.*.{name}"
    if ending:
        raise UserError(f"{name!r} is ambiguous ({' or '.join(ending)}): write it in full.")
    near = difflib.get_close_matches(name.lower(), folded, n=1)
    raise UserError(f"A run has no {name!r} to filter by.{f' Did you mean {folded[near[0]]!r}?' if near else ''}")


@cache
def _known_keys() -> tuple[str, ...]:
    from engine.contract.config import setting_keys

    return tuple(dict.fromkeys((*RUN_KEYS, *METRICS, *setting_keys())))
