"""Where in a folder weights are, and what their files say of the model that they were made with. No torch here."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from engine.contract import run_files

INDEX = ".index.json"  # suffix of the table that says which file holds which weight, of weights in several files
# What other programs call their weights, the safest first.
NAMES = (
    run_files.MODEL,
    f"{run_files.MODEL}{INDEX}",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    f"pytorch_model.bin{INDEX}",
    "open_clip_pytorch_model.bin",
)
LARGEST_TEXT = 1 << 20  # bytes read of a file that only describes the weights


def find_weights(source: Path) -> Path | None:
    """The weights in `source`: the file itself, or those of a run (its best checkpoint, else its last) or a folder."""
    if source.is_file():
        return source
    places = [source / folder / run_files.MODEL for folder in run_files.WEIGHTS_FOLDERS]
    places += [source / name for name in NAMES]
    return next((place for place in places if place.is_file()), None)


def recorded_model(weights: Path) -> dict[str, Any]:
    """What is known of the model of the file `weights`: `quick_gelu`, and `mean` and `std` of its images' values.

    From a checkpoint of ours, from the config.json that Hugging Face's transformers writes beside weights, or from the
    code in a TorchScript archive (which is searched, not run). What nothing says is absent.
    """
    try:
        return dict(_read_json(weights.with_name(run_files.PROGRESS))["model"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    try:
        config = _read_json(weights.with_name("config.json"))
        return {"quick_gelu": config.get("vision_config", config)["hidden_act"] == "quick_gelu"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    try:
        return {"quick_gelu": True} if _has_quick_gelu(weights) else {}
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return {}


def _read_json(path: Path) -> Any:
    with path.open("rb") as file:
        return json.loads(file.read(LARGEST_TEXT))


def _has_quick_gelu(archive: Path) -> bool:
    """Whether the code in a TorchScript archive has OpenAI's approximate GELU: its class, or its factor 1.702."""
    with archive.open("rb") as file:
        if file.read(2) != b"PK":
            return False
    with zipfile.ZipFile(archive) as opened:
        code = [each for each in opened.infolist() if "/code/" in each.filename and each.filename.endswith(".py")]
        texts = (opened.read(each) for each in code[:1000] if each.file_size < LARGEST_TEXT)
        return any(b"class QuickGELU" in text or b"1.702" in text for text in texts)
