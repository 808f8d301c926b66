"""What a search varies: for each setting a range or a list of values, by default the ranges of the combination's terms.

A combination has only the settings of its own terms, so no dimension depends on another.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from engine.contract.config import RunConfig, concerns, flatten, setting_keys
from engine.contract.errors import UserError
from engine.contract.terms import TERMS
from handreid_tui.launch.grid import NEVER_SPLIT, is_range, read_setting

FACTOR = 5.0  # learning rates are searched from the recipe's divided by this to the recipe's times this
FIXED = (*NEVER_SPLIT, "data.validation", "data.folds", "data.fold", "data.trials", "evaluation.test", "device")
EDGE = 0.05  # of a range at either end: a value there may lie beyond


@dataclass(frozen=True)
class Dimension:
    """A setting and its values: from `low` to `high`, evenly in the logarithm with `log`, in steps of `step` (0: none);
    or one of `choices`.
    """

    key: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float = 0.0
    choices: tuple[Any, ...] = ()

    def value(self, u: float) -> Any:
        """The value at `u` of [0, 1), rounded to four digits; whole where low and step are."""
        if self.choices:
            return self.choices[min(int(u * len(self.choices)), len(self.choices) - 1)]
        if self.step:
            count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
            found = self.low + self.step * min(int(u * count), count - 1)
            whole = self.low == int(self.low) and self.step == int(self.step)
            return int(found) if whole else float(f"{found:.6g}")
        if self.log:
            found = math.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
        else:
            found = self.low + u * (self.high - self.low)
        return float(f"{found:.4g}")

    def at_edge(self, value: Any) -> bool:
        """Whether the value lies in the outer twentieth of a range (in its logarithm with `log`), or beyond."""
        if self.choices or not isinstance(value, int | float):
            return False
        low, high, at = self.low, self.high, float(value)
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(max(at, 1e-300))
        return not EDGE <= (at - low) / (high - low) <= 1 - EDGE

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"choices": list(self.choices)}

    @classmethod
    def of_json(cls, raw: dict[str, Any]) -> Dimension:
        return cls(**raw | {"choices": tuple(raw["choices"])})


def default_space(config: RunConfig) -> list[Dimension]:
    """The learning rates around the recipe's, and the options of the combination's terms."""
    rates = {"train.lr": config.train.lr, "train.head_lr": config.train.head_lr}
    space = [Dimension(key, rate / FACTOR, rate * FACTOR, log=True) for key, rate in rates.items()]
    for term in config.loss:
        ranges = {name: option.tune for name, option in TERMS[term].all_options.items()}
        space += [Dimension(f"loss.{term}.{name}", r.low, r.high, r.log) for name, r in ranges.items() if r]
    return space


def read_over(texts: Iterable[str]) -> list[Dimension]:
    """The dimensions of `KEY=A..B[:log|:STEP]` and `KEY=V,V,V`. Raises UserError on anything else."""
    space = [_dimension(text) for text in texts]
    keys = [dimension.key for dimension in space]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise UserError(f"--over {twice} appears twice: give each setting once.")
    return space


def space_of(config: RunConfig, over: list[Dimension]) -> list[Dimension]:
    """What is searched for this combination: of `over` what it has, else its defaults. Raises UserError if nothing."""
    if not config.loss:
        raise UserError(f"{config.combo} has no training, so there is nothing to tune: leave it out.")
    if not over:
        return default_space(config)
    has = [key for key in flatten(config) if concerns(key, config.loss)]
    space = [dimension for dimension in over if dimension.key in has]
    if not space:
        keys = ", ".join(dimension.key for dimension in over)
        raise UserError(f"{config.combo} has none of the settings of --over ({keys}): add one, such as train.lr.")
    return space


def recipe_values(config: RunConfig, space: list[Dimension]) -> dict[str, Any]:
    """The combination's own values of what is searched: the first trial."""
    has = flatten(config)
    return {dimension.key: has[dimension.key] for dimension in space}


def _dimension(text: str) -> Dimension:
    key, equals, values = text.partition("=")
    if not equals:
        raise UserError(f"--over takes KEY=A..B, KEY=A..B:log, KEY=A..B:STEP or KEY=V,V,V, but got {text!r}.")
    if key in FIXED or (key not in setting_keys() and not key.startswith("loss.")):
        read_setting(f"{key}=0")  # the sentence on an unknown key
        raise UserError(f"--over cannot vary {key}: `tune` compares combinations on one model and one division.")
    if not is_range(values):
        return Dimension(key, choices=tuple(read_setting(text)[1]))
    span, _, scale = values.partition(":")
    low, high = (float(end) for end in re.split(r"\.\.", span, maxsplit=1))
    step = 0.0
    if scale and scale != "log":
        try:
            step = float(scale)
        except ValueError:
            raise UserError(f"--over {text}: after the colon comes log or a step, not {scale!r}.") from None
    if not low < high or (scale == "log" and low <= 0) or (scale not in ("", "log") and not 0 < step <= high - low):
        raise UserError(
            f"--over {text} is not a valid range: A must be below B, above 0 with log, and a step at most B - A."
        )
    return Dimension(key, low, high, scale == "log", step)
