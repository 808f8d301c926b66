"""`python -m engine embed RUN LIST.json OUT`: features of any image files, by a run's model.

The files may be evidence: they are read and nothing is written beside them or into a cache. The hash is that of the
content that was decoded; a file that changes meanwhile is not embedded.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from safetensors.torch import save_file
from torch import Tensor

from engine.contract import run_files
from engine.contract.config import ModelConfig
from engine.contract.errors import UserError
from engine.data.augment import Augmentation
from engine.data.cache import Resize, decode
from engine.data.decode import Undecodable
from engine.evaluation.evaluate import BATCH, extract
from engine.evaluation.trained_model import load_trained
from engine.machine.device import open_device
from engine.model.reid_model import ReIDModel, build_model

UNTRAINED_SEED = 1

Box = tuple[float, float, float, float]  # top, left, bottom, right as fractions of the sides


@dataclass(frozen=True)
class ListedImage:
    """An image file, and the boxes of it to fill with its mean colour before it is embedded."""

    path: Path
    hide: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Read:
    """A file as it was read: its facts for `images.json`, and its square [S, S, 3] uint8, None with an `error`."""

    facts: dict[str, Any]
    square: np.ndarray | None


def embed(run: Path, listed: Path, folder: Path) -> None:
    """Write `features.safetensors` (unit rows, float32) and `images.json` into `folder`, made where it is missing.

    `images.json` says of each file asked for its row, sha256, width and height, or why it could not be read. Raises
    UserError where the list or the run cannot be read.
    """
    asked, untrained = read_list(listed)
    config, model = load_trained(run)
    if model.takes_aspects:
        raise UserError(
            f"{run.name} was trained with the aspect of each image (model.aspect_embedding), which an image file does "
            "not say: choose a run without it."
        )
    if untrained:
        size = config.model.model_copy(update={"pretrained": "none", "image_size": model.image_size})
        model = build_model(ModelConfig.model_validate(size.model_dump()), UNTRAINED_SEED)
    device = open_device(config)
    model.to(device.torch).to(memory_format=torch.channels_last)
    augmentation = Augmentation(config.augment, model.mean, model.std, device.torch)
    facts: list[dict[str, Any]] = []
    features: list[Tensor] = [torch.empty(0, model.width)]
    rows = 0
    for some in _batches(asked, Resize(model.image_size, model.interpolation)):
        squares = [each.square for each in some if each.square is not None]
        if squares:
            stacked = torch.from_numpy(np.stack(squares))
            features.append(extract(model, stacked, augmentation, device, config.evaluation))
        for each in some:
            facts.append(each.facts | ({} if each.square is None else {"row": rows}))
            rows += each.square is not None
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"features": torch.cat(features).contiguous()}, folder / run_files.FEATURES)
    about = {"image_size": model.image_size, "patch": _patch(model), "device": device.name}
    (folder / run_files.IMAGES).write_text(json.dumps(about | {"images": facts}))


def read_list(path: Path) -> tuple[list[ListedImage], bool]:
    """`{"images": [{"path": "/…", "hide": [[top, left, bottom, right], …]}, …]}`, and whether `untrained` is in it.

    Untrained: by the same model with random weights, as a control. Raises UserError on anything else.
    """
    try:
        request = json.loads(path.read_text())
        return [
            ListedImage(
                Path(each["path"]),
                tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in each.get("hide", ())),
            )
            for each in request["images"]
        ], request.get("untrained", False) is True
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is not a list of images ({error}).") from None


def _batches(asked: list[ListedImage], to: Resize) -> Iterator[list[Read]]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(asked), BATCH):
            yield list(pool.map(lambda each: _read(each, to), asked[start : start + BATCH]))


def _read(asked: ListedImage, to: Resize) -> Read:
    facts: dict[str, Any] = {"path": str(asked.path)}
    try:
        before = asked.path.stat()
        with asked.path.open("rb") as file:
            facts["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
        square = decode(asked.path, to).pixels
        with Pillow.open(asked.path) as image:
            facts["width"], facts["height"] = image.size
        after = asked.path.stat()
    except Undecodable as error:
        return Read(facts | {"error": str(error)}, None)
    except OSError as error:
        return Read(facts | {"error": (error.strerror or str(error)).lower()}, None)
    if (before.st_size, before.st_mtime_ns, before.st_ino) != (after.st_size, after.st_mtime_ns, after.st_ino):
        return Read(facts | {"error": "the file changed while it was read"}, None)
    return Read(facts, hide(square, asked.hide))


def hide(square: np.ndarray, boxes: tuple[Box, ...]) -> np.ndarray:
    """`square` [S, S, 3] with `boxes` filled with its mean colour."""
    if not boxes:
        return square
    hidden, side = square.copy(), len(square)
    for box in boxes:
        top, left, bottom, right = (round(edge * side) for edge in box)
        hidden[top:bottom, left:right] = square.mean(axis=(0, 1)).round()
    return hidden


def _patch(model: ReIDModel) -> int | None:
    """Pixels a side of a vision transformer's patch; None for other encoders."""
    size = getattr(model.encoder.trunk, "patch_size", None)
    return int(size[0]) if isinstance(size, tuple) else None
