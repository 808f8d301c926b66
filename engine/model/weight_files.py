"""Files of weights as people have them, read as tensors by name. No code in a file is ever run."""

from __future__ import annotations

import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from engine.contract.errors import UserError
from engine.contract.weights import INDEX, LARGEST_TEXT
from engine.model.pickled_tensors import read_tensors

DEEPEST = 100  # dictionaries inside one another

# How files begin that are taken for weights and are none.
NOT_WEIGHTS = {
    b"version https://git-lfs": "is a Git LFS pointer, not the weights: run `git lfs pull` in its repository",
    b"<!DOCTYPE": "is a web page, not the weights: download the file itself",
    b"<!doctype": "is a web page, not the weights: download the file itself",
    b"<html": "is a web page, not the weights: download the file itself",
    b"\x89HDF": "is an HDF5 file (Keras): save the weights as safetensors, under their names in PyTorch",
    b"\x1f\x8b": "is compressed (gzip): unpack it",
    b"7z\xbc\xaf": "is compressed (7-Zip): unpack it",
}


def read_state(file: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name, recognised by what it holds, whatever its suffix.

    safetensors, also in several files with an index; PyTorch's zip and legacy formats, whatever else is pickled in
    them; TorchScript archives. Raises UserError where the file is none of these or is damaged.
    """
    try:
        if file.name.endswith(INDEX):
            return _read_parts(file)
        with file.open("rb") as opened:
            begin = opened.read(32)
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror or error}).") from None
    for magic, sentence in NOT_WEIGHTS.items():
        if begin.startswith(magic):
            raise UserError(f"{file} {sentence}.")
    if not begin:
        raise UserError(f"{file} is empty: download or copy it again.")
    if begin[8:9] == b"{":
        return _read_safetensors(file)
    if begin.startswith(b"PK"):
        return _read_zip(file)
    return _read_legacy(file)


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise UserError(f"{file} is damaged or truncated ({error}): download it again.") from None


def _read_zip(file: Path) -> dict[str, Tensor]:
    if not zipfile.is_zipfile(file):
        raise UserError(f"{file} is truncated: download it again.")
    try:
        return dict(_tensors(_load(file), "", 0))
    except Exception:  # torch's reader meets what it does not know with nearly every kind of error
        pass
    try:
        return read_tensors(file)
    except StopIteration:
        raise UserError(
            f"{file} is a zip archive without PyTorch weights: unpack it and give the file inside."
        ) from None
    except Exception as error:  # so does a damaged archive, below zipfile and pickle
        raise UserError(f"{file} is damaged ({type(error).__name__}: {error}): download it again.") from None


def _read_legacy(file: Path) -> dict[str, Tensor]:
    try:
        return dict(_tensors(_load(file), "", 0))
    except Exception as error:  # see above
        known = isinstance(error, pickle.UnpicklingError) and re.search("Unsupported (global|class)", str(error))
        what = "contains objects that are not tensors" if known else "is damaged, or not a weights file"
        raise UserError(
            f"{file} {what}. Save its state dict alone, as safetensors or with `torch.save(model.state_dict(), ...)`."
        ) from None


def _load(file: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TorchScript archives, which the other reader takes
        return torch.load(file, map_location="cpu", weights_only=True)


def _tensors(value: Any, name: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    """The tensors in dictionaries of dictionaries, by dotted name: a state dict below `state_dict`, `model`, `ema`."""
    if depth > DEEPEST:
        raise ValueError("nested too deep")
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _tensors(inner, f"{name}.{key}" if name else str(key), depth + 1)


def _read_parts(index: Path) -> dict[str, Tensor]:
    """Weights in several files beside their table."""
    try:
        with index.open("rb") as opened:
            table = json.loads(opened.read(16 * LARGEST_TEXT))["weight_map"]
        names = sorted(set(table.values()))
        if not all(Path(name).name == name for name in names):
            raise ValueError("a file in another folder")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{index} is not an index of weights ({type(error).__name__}: {error}).") from None
    absent = [name for name in names if not (index.parent / name).is_file()]
    if absent:
        raise UserError(
            f"{len(absent)} of the {len(names)} files of {index} are missing, first {absent[0]}: download them too."
        )
    state: dict[str, Tensor] = {}
    for name in names:
        state |= read_state(index.parent / name)
    return state
