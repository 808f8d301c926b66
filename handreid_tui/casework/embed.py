"""Features of image files, by the engine as a process of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from engine.contract import run_files
from engine.contract.errors import UserError

Box = tuple[float, float, float, float]  # top, left, bottom, right as fractions of the sides


@dataclass(frozen=True)
class EmbeddedFile:
    """A file as the engine read it: `row` of the features, None with the reason in `error`."""

    path: Path
    sha256: str
    width: int
    height: int
    row: int | None
    error: str = ""


@dataclass(frozen=True)
class Embedded:
    """Unit features [M, D] float32 of the files that could be decoded; `image_size` and `patch` in pixels."""

    features: NDArray[np.float32]
    files: list[EmbeddedFile]
    image_size: int
    patch: int | None
    device: str


def embed_files(
    run: Path,
    paths: Sequence[Path],
    scratch: Path,
    hide: Sequence[Sequence[Box]] | None = None,
    untrained: bool = False,
) -> Embedded:
    """Embed `paths`; `hide`: for each the boxes to fill with its mean colour. `scratch`: a folder for the exchange.

    `untrained`: by the run's model with random weights. Raises UserError where the run has no model.
    """
    boxes = hide or [()] * len(paths)
    asked = [{"path": str(path), "hide": list(map(list, own))} for path, own in zip(paths, boxes, strict=True)]
    exchange = scratch / "embedding"
    exchange.mkdir(mode=0o700)
    try:
        listed = exchange / "list.json"
        listed.write_text(json.dumps({"images": asked, "untrained": untrained}))
        _engine("embed", str(run), str(listed), str(exchange))
        reply = json.loads((exchange / run_files.IMAGES).read_text())
        features = load_file(exchange / run_files.FEATURES)["features"]
    finally:
        shutil.rmtree(exchange, ignore_errors=True)
    files = [
        EmbeddedFile(
            Path(each["path"]),
            each.get("sha256", ""),
            each.get("width", 0),
            each.get("height", 0),
            each.get("row"),
            each.get("error", ""),
        )
        for each in reply["images"]
    ]
    if not np.isfinite(features).all():
        raise UserError(f"The model of {run.name} gives features that are not finite: choose another run.")
    return Embedded(features, files, reply["image_size"], reply["patch"], reply["device"])


def _engine(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "engine", *words], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"the engine exited with status {done.returncode}"])[-1]
        raise UserError(last.removeprefix("Error: "))
