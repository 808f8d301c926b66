"""Reads the `evaluation/` folder of a finished run: features, trials, every query's rank and average precision."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from engine.errors import UserError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Trial:
    """One gallery: rows of the images table for query [Q] and gallery [G], and what each query scored [Q].

    `rank` is that of the first match, 1 the best, 0 where the gallery holds no match; `ap`, `ap_trapezoid` and `inp`
    are NaN there.
    """

    query: Ints
    gallery: Ints
    rank: Ints
    ap: Floats
    ap_trapezoid: Floats
    inp: Floats

    @property
    def matched(self) -> NDArray[np.bool_]:
        return self.rank > 0


@dataclass(frozen=True)
class Evaluation:
    """What a run's final report was made from. `names`, `paths` and `identity` [N] describe the images."""

    folder: Path
    root: Path
    names: list[str]
    paths: list[str]
    identity: NDArray[np.str_]
    trials: list[Trial]

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """[N, D], unit length, read when first asked for. Raises UserError if they cannot be read."""
        features: NDArray[np.float32] = _arrays(self.folder / "features.safetensors")["features"]
        if features.ndim != 2 or len(features) != len(self.names):
            raise UserError(f"{self.folder}: the features do not belong to the images listed beside them.")
        return features

    @cached_property
    def query_identities(self) -> list[str]:
        """The identities that are searched for, sorted: the ones that statistics resample. No distractors."""
        rows = np.unique(np.concatenate([trial.query for trial in self.trials]))
        return sorted(set(self.identity[rows].tolist()))


def read_evaluation(run: Path) -> Evaluation:
    """The evaluation of the run in directory `run`. Raises UserError where it is missing or damaged."""
    folder = run / "evaluation"
    try:
        listed = json.loads((folder / "images.json").read_text())
        images = listed["images"]
        root, names = Path(listed["root"]), [image["name"] for image in images]
        paths, identity = [image["path"] for image in images], np.array([str(image["identity"]) for image in images])
    except FileNotFoundError:
        raise UserError(f"{run.name} has no evaluation: only a finished run has one.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / 'images.json'} is damaged ({error}).") from None
    arrays = _arrays(folder / "trials.safetensors")
    try:
        numbers = sorted({name.split("/")[0] for name in arrays})
        trials = [_trial(arrays, number, len(names)) for number in numbers]
    except (KeyError, ValueError) as error:
        raise UserError(f"{folder / 'trials.safetensors'} is damaged ({error}).") from None
    if not trials:
        raise UserError(f"{folder / 'trials.safetensors'} holds no trial.")
    return Evaluation(folder, root, names, paths, identity, trials)


def read_summary(run: Path) -> dict[str, Any]:
    """The metrics of the run's final report. Raises UserError where they are missing or damaged."""
    path = run / "evaluation" / "summary.json"
    try:
        summary = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{run.name} has no evaluation: only a finished run has one.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}).") from None
    if not isinstance(summary, dict):
        raise UserError(f"{path} is damaged (not an object).")
    return summary


@dataclass(frozen=True)
class Scores:
    """What statistics need of an evaluation, small: sums over the queries of each searched identity, per trial.

    `sums` holds "mAP" and "rank1", `counts` the numbers of queries, [T, I] each; queries without a match count
    nowhere. Two runs with equal `queries` ranked the same images in the same trials.
    """

    sums: dict[str, Floats]
    counts: Floats
    queries: str


def score(evaluation: Evaluation) -> Scores:
    """The scores of an evaluation; identities in the order of `query_identities`."""
    place = {name: index for index, name in enumerate(evaluation.query_identities)}
    number = np.array([place.get(name, -1) for name in evaluation.identity.tolist()])
    shape = (len(evaluation.trials), len(place))
    sums, counts = {metric: np.zeros(shape) for metric in ("mAP", "rank1")}, np.zeros(shape)
    digest = hashlib.sha256()
    for t, trial in enumerate(evaluation.trials):
        rows = trial.query[trial.matched]
        hits = (trial.rank[trial.matched] == 1).astype(float)
        sums["mAP"][t] = np.bincount(number[rows], weights=trial.ap[trial.matched], minlength=len(place))
        sums["rank1"][t] = np.bincount(number[rows], weights=hits, minlength=len(place))
        counts[t] = np.bincount(number[rows], minlength=len(place))
        digest.update(json.dumps([evaluation.names[row] for row in rows.tolist()]).encode())
    return Scores(sums, counts, digest.hexdigest())


def _trial(arrays: dict[str, Any], number: str, images: int) -> Trial:
    parts = {name: arrays[f"{number}/{name}"] for name in ("query", "gallery", "rank", "ap", "ap_trapezoid", "inp")}
    lengths = {len(values) for name, values in parts.items() if name != "gallery"}
    if len(lengths) != 1:
        raise ValueError(f"trial {number} has arrays of different lengths")
    rows = np.concatenate([parts["query"], parts["gallery"]])
    if len(rows) and (rows.min() < 0 or rows.max() >= images):
        raise ValueError(f"trial {number} names an image that is not listed")
    return Trial(**parts)


def _arrays(path: Path) -> dict[str, Any]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing.") from None
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}).") from None
