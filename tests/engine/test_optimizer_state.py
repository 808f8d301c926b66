"""What a checkpoint holds of the optimizers belongs to the weights by their order, so the order is a promise."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.contract.errors import UserError
from engine.training.setup import prepare
from tests.support.training import small_config


def test_the_weights_stand_in_the_order_of_earlier_checkpoints(hands: Path) -> None:
    setup = prepare(small_config("ce_arcface", hands))
    encoder = [name for name, _ in setup.model.encoder.named_parameters()]
    assert encoder[:3] == ["trunk.class_embedding", "trunk.positional_embedding", "trunk.conv1.weight"]
    assert encoder[-3:] == ["trunk.ln_post.weight", "trunk.ln_post.bias", "projection.weight"]
    names = {
        id(weight): name
        for name, weight in (*setup.model.necks.named_parameters(), *setup.objective.named_parameters())
    }
    heads = [names[id(weight)] for group in setup.optimizers.main.param_groups[2:] for weight in group["params"]]
    classes = [
        "learnt.ce.0.linear.weight",
        "learnt.ce.1.linear.weight",
        "learnt.arcface.0.weight",
        "learnt.arcface.1.weight",
    ]
    assert heads == [*classes, "0.weight", "1.weight"]


def test_a_state_of_other_shapes_is_refused_before_a_step(hands: Path) -> None:
    setup = prepare(small_config("ce", hands))
    for weight in setup.model.encoder.parameters():
        weight.grad = torch.zeros_like(weight)
    setup.optimizers.main.step()
    states = setup.optimizers.state()
    first, second = (states[0]["state"][place] for place in (0, 1))
    states[0]["state"][0], states[0]["state"][1] = second, first
    assert first["exp_avg"].shape != second["exp_avg"].shape
    with pytest.raises(UserError, match="another shape"):
        setup.optimizers.load_state(states)
