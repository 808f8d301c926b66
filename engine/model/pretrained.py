"""Weights from a file or an earlier run into an image tower."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.contract.errors import UserError
from engine.contract.weights import find_weights
from engine.model.tower_names import with_open_clip_names
from engine.model.weight_files import read_state

POSITIONS = ("positional_embedding", "attnpool.positional_embedding")


def load_weights(visual: nn.Module, source: Path) -> None:
    """Fill the image tower `visual` from `source`, resizing open_clip's position embeddings to its image size.

    `source` is a file (`read_state` says which), a folder with one, or a run directory (its best checkpoint). Weights
    of a whole CLIP, of the tower alone or below any prefix (`visual.`, `image_encoder.`, `state_dict.module.`) are
    recognised, under the names of open_clip, transformers or timm. Raises UserError where the file cannot be read or
    does not fit the tower, or a weight is not a finite number.
    """
    state = with_open_clip_names(read_state(weights_file(source)))
    tower = find_tower(state, visual, source)
    check_finite(tower, source)
    fill(visual, tower, source)


def weights_file(source: Path) -> Path:
    """The file of weights in `source`. Raises UserError where there is none."""
    if found := find_weights(source):
        return found
    raise UserError(f"{source} contains no weights: give a weights file or a run that has trained.")


def check_finite(state: dict[str, Tensor], source: Path | str) -> None:
    """Raises UserError if a weight is NaN or infinite: no training could start from it."""
    bad = [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        raise UserError(
            f"{source} contains NaN or infinity in {len(bad)} of {len(state)} weights, first {bad[0]!r}: "
            "the file is damaged, or the training that made it diverged. Use other weights."
        )


def find_tower(state: dict[str, Tensor], visual: nn.Module, source: Path) -> dict[str, Tensor]:
    """The part of `state` that belongs to `visual`, below whatever prefix it is; of several, the first in the file."""
    wanted = visual.state_dict().keys()
    found = []
    for inner in ("", "trunk."):  # timm's own files lack the name under which open_clip keeps timm's model
        anchor = next(iter(wanted)).removeprefix(inner)
        prefixes = dict.fromkeys(name.removesuffix(anchor) for name in state if f".{name}".endswith(f".{anchor}"))
        for prefix in prefixes:
            names = {key: prefix + key.removeprefix(inner) for key in wanted}
            found.append({key: state[name] for key, name in names.items() if name in state})
    best = max(found, key=len, default={})
    missing = [key for key in wanted if key not in best]
    if missing == ["proj"]:
        raise UserError(
            f"{source} contains the image tower without its projection: save the whole CLIPModel, or "
            "CLIPVisionModelWithProjection instead of CLIPVisionModel."
        )
    if missing:
        raise UserError(
            f"{source} does not fit this model: {len(missing)} of {len(wanted)} weights of the image tower "
            f"are missing, first {missing[0]!r}. Choose the model that the weights belong to.",
            "model.name",
        )
    return best


def fill(visual: nn.Module, state: dict[str, Tensor], source: Path) -> None:
    """Load `state` into `visual`; a square position grid of another size is resized (bicubic)."""
    own = visual.state_dict()
    for name in POSITIONS:
        if name in state and state[name].shape != own[name].shape:
            state[name] = resize_positions(state[name], own[name].shape[0], source)
    for name, value in state.items():
        if value.shape != own[name].shape:
            shapes = f"{tuple(value.shape)}, not {tuple(own[name].shape)}"
            text = (
                f"{source} does not fit this model: {name!r} is {shapes}. Choose the model that the weights belong to."
            )
            raise UserError(text, "model.name")
    visual.load_state_dict(state)


def resize_positions(positions: Tensor, length: int, source: Path) -> Tensor:
    """Resize position embeddings [1 + old², D] to [`length`, D]; the first row belongs to the class token."""
    token, grid = positions[:1].float(), positions[1:].float()
    old, new = round(len(grid) ** 0.5), round((length - 1) ** 0.5)
    if old * old != len(grid) or new * new != length - 1:
        raise UserError(f"{source}: its position embedding of {len(grid)} patches is not square.")
    square = grid.reshape(1, old, old, -1).permute(0, 3, 1, 2)
    resized = F.interpolate(square, size=(new, new), mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([token, resized.permute(0, 2, 3, 1).reshape(new * new, -1)])
