"""The encoder of a trained run, written out for open_clip alone."""

from __future__ import annotations

import json
import secrets
import shutil
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file

from engine.contract import run_files
from engine.contract.config import RunConfig
from engine.contract.errors import UserError
from engine.contract.terms import TERMS
from engine.evaluation.trained_model import load_trained
from engine.model.branches import Branches
from engine.model.parts import Parts
from engine.model.reid_model import ReIDModel
from engine.model.towers import TEXT


def export(run: Path, folder: Path) -> str:
    """Write a run's encoder and preprocessing so that `open_clip.create_model_and_transforms("local-dir:…")` loads it.

    Its `encode_image` gives the feature after the projection and before the neck. The text tower is a small stand-in;
    a captioning model's decoder is left out. Returns what else is left out, as a sentence, or "". Raises UserError for
    what open_clip cannot load: timm's towers with positions at another size than their own.
    """
    config, model = load_trained(run)
    vision = model.settings["vision_cfg"] | {"image_size": model.image_size}
    vision.pop("output_tokens", None)  # a captioning model's: features of every patch beside the image's
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    settings = {
        "embed_dim": model.dims[model.encoder.own_features - 1],
        "vision_cfg": vision,
        "text_cfg": TEXT,
        "quick_gelu": model.quick_gelu,
    }
    preprocessing = {
        "size": model.image_size,
        "mean": model.mean,
        "std": model.std,
        "interpolation": model.interpolation,
        "resize_mode": "squash",
    }
    state = {name: value.contiguous() for name, value in model.encoder.open_clip_state().items()}
    stand_in = open_clip.model.CLIP(**settings)
    rest = {name: value for name, value in stand_in.state_dict().items() if not name.startswith("visual.")}
    try:
        stand_in.load_state_dict(state | rest)
        same = _features_agree(model, stand_in)
    except (RuntimeError, AssertionError, ValueError):  # open_clip's and timm's own, of a shape or a size
        same = False
    if not same:
        raise UserError(
            f"open_clip builds {config.model.name} only at its native size, but {run.name} was trained at "
            f"{model.image_size} px: take the weights from {run_files.BEST_CHECKPOINT}/{run_files.MODEL} of the run."
        )
    names = {"model_cfg": settings, "preprocess_cfg": preprocessing}
    unfinished = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")
    try:
        unfinished.mkdir(parents=True)
        (unfinished / "open_clip_config.json").write_text(json.dumps(names, indent=2) + "\n")
        save_file(state | rest, unfinished / "open_clip_model.safetensors", metadata={"run": run.name})
        unfinished.rename(folder)  # onto an empty folder, too
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return " ".join(filter(None, (_branches_left_out(model), _aspects_left_out(model), _texts_left_out(config))))


def _branches_left_out(model: ReIDModel) -> str:
    if not model.encoder.branches:
        return ""
    if isinstance(model.encoder.branches, Parts):
        return "The parts, which retrieval compares, are left out: open_clip gives the feature after the projection."
    left_out = "The branches of MBA-Net are left out, as open_clip cannot build them"
    if model.encoder.branches.keeps_last_size:
        return f"{left_out}; its layer4 has stride 2, that of the run stride 1, so the features differ."
    return f"{left_out}; the features are those of the global branch."


def _aspects_left_out(model: ReIDModel) -> str:
    if not model.takes_aspects:
        return ""
    return "The embedding of the aspect is left out, as open_clip takes images alone, so the features differ."


def _features_agree(model: ReIDModel, clip: Any) -> bool:
    """Whether open_clip's model gives the features of ours: a tower with rotary positions loads at any size.

    Where branches gave the tower another stride, and they cannot agree, it is enough that it takes the image.
    """
    image = torch.rand(1, 3, model.image_size, model.image_size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        theirs = clip.eval().encode_image(image)
        ours = model.eval().encoder(image)[model.encoder.own_features - 1]
    branches = model.encoder.branches
    other = isinstance(branches, Branches) and branches.keeps_last_size
    return other or torch.allclose(theirs, ours, rtol=1e-2, atol=1e-3)


def _texts_left_out(config: RunConfig) -> str:
    if not any(TERMS[term].texts for term in config.loss):
        return ""
    return f"The texts learned by {config.combo} are left out: only training uses them."
