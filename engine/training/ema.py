"""The exponential moving average of the weights, which is evaluated and kept in the place of the weights themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

PREFIX = "ema."  # before the names of the average's values in a checkpoint


class AveragedWeights:
    """a <- d a + (1 - d) w after each step, from the weights w at the start; d is `decay`.

    With a decay of 0 the average is the weights themselves, and costs nothing. `weights`: the live values by name.
    Values that are no floating-point numbers (counters) are copied.
    """

    def __init__(self, decay: float, weights: dict[str, Tensor]) -> None:
        self._decay, self._live = decay, weights
        self.values = {name: value.clone() for name, value in weights.items()} if decay else weights
        floats = [name for name, value in weights.items() if value.is_floating_point()]
        self._floats = [self.values[name] for name in floats], [weights[name] for name in floats]
        self._others = [name for name in weights if name not in set(floats)]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        if not self._decay:
            return
        torch._foreach_lerp_(self._floats[0], self._floats[1], 1 - self._decay)
        for name in self._others:
            self.values[name].copy_(self._live[name])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the averaged values inside, and its own again after that."""
        if not self._decay:
            yield
            return
        own = {name: value.clone() for name, value in self._live.items()}
        _copy(self.values, self._live)
        try:
            yield
        finally:
            _copy(own, self._live)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold beside the weights."""
        return {f"{PREFIX}{name}": value for name, value in self.values.items()} if self._decay else {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state`; `state` may hold other values too. From the weights where it holds no average."""
        if self._decay:
            _copy({name: state.get(f"{PREFIX}{name}", self._live[name]) for name in self.values}, self.values)


@torch.no_grad()
def _copy(values: dict[str, Tensor], into: dict[str, Tensor]) -> None:
    for name, value in into.items():
        value.copy_(values[name])
