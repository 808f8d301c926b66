"""The encoder of a trained run, written out for open_clip alone."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
from safetensors.torch import save_file

from engine.evaluation.trained_model import load_trained

TEXT = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 1, "layers": 1}  # a stand-in: CLIP needs one


def export(run: Path, folder: Path) -> None:
    """Write a run's encoder and preprocessing so that `open_clip.create_model_and_transforms("local-dir:…")` loads it.

    Its `encode_image` gives the feature after the projection and before the neck. The text tower is a small stand-in.
    """
    config, model = load_trained(run)
    settings = open_clip.get_model_config(config.model.name)
    settings["vision_cfg"]["image_size"] = model.image_size
    settings |= {"text_cfg": TEXT, "quick_gelu": model.quick_gelu}
    settings.pop("custom_text", None)
    preprocessing = {"size": model.image_size, "mean": model.mean, "std": model.std, "resize_mode": "squash"}
    state = {name: value.contiguous() for name, value in model.encoder.open_clip_state().items()}
    folder.mkdir(parents=True, exist_ok=True)
    names = {"model_cfg": settings, "preprocess_cfg": preprocessing}
    (folder / "open_clip_config.json").write_text(json.dumps(names, indent=2) + "\n")
    stand_in = open_clip.model.CLIP(**settings).state_dict()
    rest = {name: value for name, value in stand_in.items() if not name.startswith("visual.")}
    save_file(state | rest, folder / "open_clip_model.safetensors", metadata={"run": run.name})
