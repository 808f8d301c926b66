"""Features by the hash of their image, in one file of the user's: a gallery is embedded once."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from engine.contract.errors import UserError
from handreid_tui.runs.safe_files import explain

Features = NDArray[np.float32]


@dataclass
class FeatureStore:
    """Features [N, D] of the images with `hashes` (SHA-256, [N]), by the model with this hash of its `weights`."""

    weights: str
    features: Features = field(default_factory=lambda: np.empty((0, 0), np.float32))
    hashes: list[str] = field(default_factory=list)
    _row: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._row = {digest: row for row, digest in enumerate(self.hashes)}

    def __contains__(self, digest: object) -> bool:
        return digest in self._row

    def add(self, hashes: list[str], features: Features) -> None:
        """Add features [M, D] of images that are not in it."""
        fresh = [place for place, digest in enumerate(hashes) if digest not in self._row]
        fresh = list({hashes[place]: place for place in fresh}.values())
        if not fresh:
            return
        self.features = np.concatenate([self.features, features[fresh]]) if self.hashes else features[fresh]
        for place in fresh:
            self._row[hashes[place]] = len(self.hashes)
            self.hashes.append(hashes[place])

    def of(self, hashes: list[str]) -> Features:
        """Features of the images with these hashes, [M, D]."""
        rows = np.array([self._row[digest] for digest in hashes], dtype=np.int64)
        found: Features = self.features[rows]
        return found

    def save(self, path: Path) -> None:
        """Replace the file, atomically. Raises UserError where it cannot be written."""
        fresh = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
        metadata = {"weights": self.weights, "hashes": json.dumps(self.hashes)}
        try:
            save_file({"features": np.ascontiguousarray(self.features)}, fresh, metadata)
            fresh.chmod(0o600)
            fresh.replace(path)
        except (OSError, SafetensorError) as error:
            fresh.unlink(missing_ok=True)
            why = explain(error) if isinstance(error, OSError) else "the disk may be full."
            raise UserError(f"{path} cannot be written: {why}") from None


def open_store(path: Path | None, weights: str) -> FeatureStore:
    """The store in a file, empty where there is none. Raises UserError where it is of another model, or damaged."""
    if path is None or not path.exists():
        return FeatureStore(weights)
    try:
        with safe_open(path, "numpy") as file:
            metadata, features = file.metadata() or {}, file.get_tensor("features")
        hashes = json.loads(metadata["hashes"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(
            f"{path} is not a file of gallery features ({error}): choose another one with --features."
        ) from None
    if metadata.get("weights") != weights:
        raise UserError(f"{path} contains features of another model: choose another file with --features.")
    if len(hashes) != len(features):
        raise UserError(f"{path} is damaged: it has {len(features)} features and {len(hashes)} hashes. Remove it.")
    return FeatureStore(weights, features, hashes)
