"""The life of an encoder: opened, trained, stopped, resumed, scored, exported, started from again."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from engine.contract import run_files
from engine.contract.config import DataConfig, ModelConfig, RunConfig
from engine.contract.errors import UserError
from engine.evaluation.export import export
from engine.evaluation.score import score
from engine.evaluation.trained_model import load_trained
from engine.model.reid_model import ReIDModel, build_model
from engine.training.stopping import StopRequest
from tests.support.training import small_config, train_in

FEW = {"train__epochs": 1, "train__ids_per_batch": 2, "train__images_per_id": 2, "train__precision": "float32"}


class StopAfter(StopRequest):
    """Asks to stop after n steps."""

    def __init__(self, steps: int) -> None:
        self._looks = itertools.count(1)
        self._steps = steps

    @property
    def requested(self) -> bool:  # type: ignore[override]
        return next(self._looks) >= self._steps


def preprocessing(model: ReIDModel) -> tuple[list[float], list[float], bool]:
    return model.mean, model.std, model.quick_gelu


def live(name: str, size: int | None, other: int, hands: Path, place: Path, combo: str = "ce") -> None:
    """Lead one encoder through everything that a run does with it; fails where a step changes what it is.

    `size`: pixels a side, None for its own; `other`: another size to start from again.
    """
    config = small_config(combo, hands, model__name=name, model__image_size=size, **FEW)
    begin = build_model(config.model, 0)
    assert train_in(place / "whole", config) == "finished"
    assert train_in(place / "broken", config, StopAfter(2)) == "stopped"
    assert train_in(place / "broken", config) == "finished"
    whole, broken = (
        load_file(place / run / run_files.BEST_CHECKPOINT / run_files.MODEL) for run in ("whole", "broken")
    )
    assert whole.keys() == broken.keys() and all(torch.equal(whole[key], broken[key]) for key in whole)

    run = place / "whole"
    scored = score(run, DataConfig(source=str(hands), trials=2, gallery="own")).summary
    own = json.loads((run / run_files.EVALUATION / run_files.SUMMARY).read_text())
    assert scored["mAP"] == pytest.approx(own["mAP"], abs=1e-6)

    _, trained = load_trained(run)
    assert preprocessing(trained) == preprocessing(begin) and trained.image_size == begin.image_size
    image = torch.rand(1, 3, begin.image_size, begin.image_size)
    with torch.inference_mode():
        ours = trained.eval().encoder(image)
        again = build_model(started_from(config, run, size), 1)
        torch.testing.assert_close(again.eval().encoder(image), ours)
    assert preprocessing(again) == preprocessing(begin)
    larger = build_model(started_from(config, run, other), 1)
    assert preprocessing(larger) == preprocessing(begin)
    assert (larger.image_size, larger.dims) == (other, begin.dims)
    check_export(run, trained, hands, place / "exported")


def started_from(config: RunConfig, run: Path, size: int | None) -> ModelConfig:
    return config.model.model_copy(update={"pretrained": str(run), "image_size": size})


def check_export(run: Path, trained: ReIDModel, hands: Path, folder: Path) -> None:
    """open_clip alone gives the same feature; or the run is refused with the reason, and nothing is written."""
    try:
        left_out = export(run, folder)
    except UserError as error:
        assert "only at its native size" in str(error) and not folder.exists()
        assert hasattr(trained.encoder.trunk.trunk, "pos_embed")
        return
    alone, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    image = transform(Image.open(next((hands / "Hands").iterdir())))[None]
    assert image.shape[2:] == (trained.image_size,) * 2
    shown = open_clip.get_model_preprocess_cfg(alone)
    assert (list(shown["mean"]), list(shown["std"])) == (trained.mean, trained.std)
    with torch.inference_mode():
        ours = trained.eval().encoder(image)[trained.encoder.own_features - 1]
        theirs = alone.eval().encode_image(image)
        assert theirs.shape == ours.shape
        if "differ" not in left_out:
            torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4)
