"""MBA-Net's attention, in float64 against its formulas and PyTorch's own attention."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from engine.model.attention import ChannelAttention, SpatialAttention, attend, encode_rows

CHANNELS, SIDE = 16, 5


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def maps(channels: int = CHANNELS, side: int = SIDE) -> Tensor:
    return torch.randn(3, channels, side, side, dtype=torch.float64)


def spatial(gamma: float) -> SpatialAttention:
    module = SpatialAttention(CHANNELS, SIDE).double()
    nn.init.constant_(module.gamma, gamma)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
    return module


@pytest.mark.parametrize("module", [SpatialAttention(CHANNELS, SIDE).double(), ChannelAttention().double()])
def test_new_attention_changes_nothing_and_learns_from_its_gamma(module: nn.Module) -> None:
    x = maps()
    out = module(x)
    assert torch.equal(out, x)
    out.square().sum().backward()
    gamma = module.get_parameter("gamma")
    assert gamma.grad is not None and gamma.grad.abs() > 0


def test_spatial_attention_is_pytorchs_with_scale_1() -> None:
    query, key, value = maps(4), maps(4), maps()
    rows = (each.flatten(2).transpose(1, 2) for each in (query, key, value))
    expected = scaled_dot_product_attention(*rows, scale=1.0).transpose(1, 2).view_as(value)
    torch.testing.assert_close(attend(query, key, value), expected)


def test_relative_encoding_is_that_of_four_loops() -> None:
    query, value = maps(4), maps()
    table = torch.randn(2 * SIDE - 1, 4, dtype=torch.float64)
    expected = torch.zeros_like(value)
    for image in range(3):
        for x in range(SIDE):
            for y in range(SIDE):
                for i in range(SIDE):
                    score = query[image, :, x, y] @ table[i - x + SIDE - 1]
                    expected[image, :, x, y] += score * value[image, :, i, y]
    torch.testing.assert_close(encode_rows(query, value, table), expected)


def test_spatial_attention_is_the_sum_of_its_formula() -> None:
    module, x = spatial(0.7), maps()
    query, key, value = module.query(x), module.key(x), module.value(x)
    rows = module.norm_rows(encode_rows(query, value, module.rows))
    # within a row of the map: the same over the map on its side
    aside = encode_rows(query.mT, value.mT, module.columns).mT
    expected = x + 0.7 * (attend(query, key, value) + rows + module.norm_columns(aside))
    torch.testing.assert_close(module(x), expected)


def test_rows_and_columns_have_tables_of_their_own() -> None:
    module, x = spatial(1.0).eval(), maps()
    with torch.no_grad():
        straight = module(x)
        module.rows.data, module.columns.data = module.columns.data.clone(), module.rows.data.clone()
        module.norm_rows, module.norm_columns = module.norm_columns, module.norm_rows
        torch.testing.assert_close(module(x.mT).mT, straight)
        assert not torch.allclose(module(x), straight)


def test_without_the_encoding_a_shuffle_of_the_places_commutes_with_it() -> None:
    module, x = spatial(0.7).eval(), maps()
    order = torch.randperm(SIDE * SIDE)

    def shuffle(each: Tensor) -> Tensor:
        return each.flatten(2)[:, :, order].view_as(each)

    with torch.no_grad():
        assert not torch.allclose(module(shuffle(x)), shuffle(module(x)))
        module.rows.zero_()
        module.columns.zero_()
        torch.testing.assert_close(module(shuffle(x)), shuffle(module(x)))


def test_channel_attention_is_its_formula() -> None:
    module, x = ChannelAttention().double(), maps()
    nn.init.constant_(module.gamma, 0.7)
    flat = x.flatten(2)
    energy = torch.einsum("bcp,bdp->bcd", flat, flat)
    attention = (energy.amax(dim=2, keepdim=True) - energy).softmax(dim=2)
    torch.testing.assert_close(attention, (-energy).softmax(dim=2))
    torch.testing.assert_close(module(x), x + 0.7 * torch.einsum("bcd,bdp->bcp", attention, flat).view_as(x))


@pytest.mark.parametrize("make", [lambda: SpatialAttention(CHANNELS, SIDE), ChannelAttention])
def test_in_half_precision_the_energies_are_in_single(make: Callable[[], nn.Module]) -> None:
    """Energies of some hundreds differ by whole units in bfloat16, and the softmax would be another."""
    module, x = make(), (maps() * 5).float()
    nn.init.constant_(module.get_parameter("gamma"), 1.0)
    module.eval()
    rounded = x.bfloat16()
    with torch.no_grad():
        expected = module(rounded.float())
        with torch.autocast("cpu", torch.bfloat16):
            found = module(rounded)
    assert found.dtype == torch.bfloat16
    assert (found.float() - expected).norm() / expected.norm() < 0.02
