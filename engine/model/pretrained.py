"""Weights from a file or an earlier run into an image tower. Nothing is ever unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from engine.contract import run_files
from engine.contract.errors import UserError

POSITIONS = ("positional_embedding", "attnpool.positional_embedding")


def load_weights(visual: nn.Module, source: Path) -> None:
    """Fill the image tower `visual` from `source`, resizing open_clip's position embeddings to its image size.

    `source` is a safetensors file, a PyTorch state dict (read with `weights_only`), or a run directory (its best
    checkpoint). Weights of a whole CLIP, of the tower alone or below any prefix (`visual.`, `image_encoder.`,
    `module.…`) are recognised. Raises UserError where the file cannot be read safely or does not fit the tower.
    """
    fill(visual, find_tower(read_state(weights_file(source)), visual, source), source)


def weights_file(source: Path) -> Path:
    """The weights inside `source`: the file itself, or the best (else last) checkpoint of a run directory."""
    if source.is_file():
        return source
    for place in run_files.WEIGHTS_FOLDERS:
        if (source / place / run_files.MODEL).is_file():
            return source / place / run_files.MODEL
    raise UserError(f"{source} holds no weights: give a weights file or a run that has trained.")


def recorded_model(source: Path) -> dict[str, Any]:
    """What a checkpoint of ours says of its model; empty for any other file."""
    try:
        return dict(json.loads(weights_file(source).with_name(run_files.PROGRESS).read_text())["model"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def read_state(file: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name."""
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader meets damage with nearly every kind of error
        raise UserError(
            f"{file} cannot be read safely as weights. Convert it to safetensors, or save its state dict."
        ) from error
    for wrapper in ("state_dict", "model", "model_state_dict"):
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict):
        raise UserError(f"{file} holds no state dict.")
    return {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}


def find_tower(state: dict[str, Tensor], visual: nn.Module, source: Path) -> dict[str, Tensor]:
    """The part of `state` that belongs to `visual`, below whatever prefix it stands."""
    wanted = visual.state_dict().keys()
    found = []
    for inner in ("", "trunk."):  # timm's own files lack the name under which open_clip keeps timm's model
        anchor = next(iter(wanted)).removeprefix(inner)
        for prefix in {name.removesuffix(anchor) for name in state if name == anchor or name.endswith(f".{anchor}")}:
            names = {key: prefix + key.removeprefix(inner) for key in wanted}
            found.append({key: state[name] for key, name in names.items() if name in state})
    best = max(found, key=len, default={})
    missing = [key for key in wanted if key not in best]
    if missing:
        raise UserError(
            f"{source} does not fit this model: {len(missing)} of {len(wanted)} weights of the image tower "
            f"are missing, first {missing[0]!r}. Name the model that it is of.",
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
            text = f"{source} does not fit this model: {name!r} is {shapes}. Name the model that it is of."
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
