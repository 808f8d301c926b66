"""Reads the `evaluation/` folder of a finished run: features, trials, every query's rank and average precision."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, load_file

from engine.contract import run_files
from engine.contract.errors import UserError
from engine.data.same_split import moved_folders
from engine.search.rerank import rerank
from handreid_tui.runs.safe_files import inside, is_file, read_json

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
WHOLE = ("query", "gallery", "rank")  # the arrays of a trial that hold whole numbers


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
class Images:
    """The images of an evaluation. `number` [N] is each one's place in `identities`, the distinct ones, sorted."""

    root: Path
    names: list[str]
    paths: list[str]
    identity: NDArray[np.str_]
    identities: NDArray[np.str_]
    number: Ints

    @cached_property
    def digests(self) -> NDArray[np.void]:
        """16 bytes an image, [N]: equal for equal names of images of equal identities."""
        lines = (f"{name}\0{identity}" for name, identity in zip(self.names, self.identity.tolist(), strict=True))
        each = (hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest() for text in lines)
        return np.frombuffer(b"".join(each), dtype="V16")


@dataclass(frozen=True)
class Evaluation:
    """What a run's final report was made from."""

    folder: Path
    images: Images
    trials: list[Trial]

    @cached_property
    def root(self) -> Path:
        """The folder of the images: as listed, or where it is now if it was moved together with the runs."""
        listed, some = self.images.root, {*self.images.paths[:1], *self.images.paths[-1:]}
        if listed.is_dir():
            return listed
        moved = moved_folders(listed, self.folder)
        return next((each for each in moved if all((each / path).is_file() for path in some)), listed)

    @property
    def names(self) -> list[str]:
        return self.images.names

    @property
    def paths(self) -> list[str]:
        return self.images.paths

    @property
    def identity(self) -> NDArray[np.str_]:
        """The identity of each image, [N]."""
        return self.images.identity

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """[N, D], unit length, read when first asked for. Raises UserError if they cannot be read."""
        path = _file(self.folder, run_files.FEATURES)
        try:
            features: NDArray[np.float32] = load_file(path)["features"]
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            raise UserError(f"{path} is damaged ({error}).") from None
        if features.ndim != 2 or len(features) != len(self.names):
            raise UserError(f"{self.folder}: the features do not belong to the images listed beside them.")
        return features

    @cached_property
    def reranked(self) -> bool:
        """Whether its ranks are those of k-reciprocal re-ranking."""
        return read_json(self.folder / run_files.SUMMARY).get("rerank") is True

    def distances(self, trial: Trial) -> NDArray[np.float32]:
        """Re-ranked distances [Q, G] of a trial, computed once."""
        known: NDArray[np.float32] | None = self._distances.get(id(trial))
        if known is None:
            known = rerank(self.features[trial.query], self.features[trial.gallery])
            self._distances[id(trial)] = known
        return known

    @cached_property
    def _distances(self) -> dict[int, NDArray[np.float32]]:
        return {}

    @cached_property
    def query_identities(self) -> list[str]:
        """The identities that are searched for, sorted: the ones that statistics resample. No distractors."""
        rows = np.concatenate([trial.query for trial in self.trials])
        identities: list[str] = self.images.identities[np.unique(self.images.number[rows])].tolist()
        return identities


def evaluation_folder(run: Path, other: str | None = None) -> Path:
    """Where the run keeps its own evaluation, or the one on other data that `handreid evaluate` called `other`.

    Raises UserError where it has none.
    """
    folder = inside(run, run_files.EVALUATIONS, other) if other else inside(run, run_files.EVALUATION)
    if folder.is_dir():
        return folder
    if other is None:
        raise UserError(f"{run.name} has no evaluation: only a finished run has one.")
    there = inside(run, run_files.EVALUATIONS)
    names = ", ".join(sorted(each.name for each in there.iterdir())) if there.is_dir() else "none"
    raise UserError(f"{run.name} has no evaluation {other!r} on other data ({names}): see `handreid evaluate`.")


def read_evaluation(run: Path, other: str | None = None) -> Evaluation:
    """The evaluation of the run in directory `run`: its own, or the one on other data called `other`.

    Raises UserError where it is missing or damaged.
    """
    folder = evaluation_folder(run, other)
    listed, scored = _file(folder, run_files.IMAGES), _file(folder, run_files.TRIALS)
    try:
        images = _images(listed.read_bytes())
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{listed} is damaged ({error}).") from None
    try:
        arrays = load(scored.read_bytes())
        numbers = sorted({name.split("/")[0] for name in arrays})
        trials = [_trial(arrays, number, len(images.names)) for number in numbers]
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{scored} is damaged ({error}).") from None
    if not trials:
        raise UserError(f"{scored} holds no trial.")
    return Evaluation(folder, images, trials)


@lru_cache(maxsize=8)  # the runs of a protocol list the same images, and there may be thousands of them
def _images(content: bytes) -> Images:
    listed = json.loads(content)
    images = listed["images"]
    identity = np.array([str(image["identity"]) for image in images])
    identities, number = np.unique(identity, return_inverse=True)
    names, paths = [image["name"] for image in images], [image["path"] for image in images]
    return Images(Path(listed["root"]), names, paths, identity, identities, number)


def read_summary(run: Path) -> dict[str, Any]:
    """The metrics of the run's final report. Raises UserError where they are missing or damaged."""
    path = _file(evaluation_folder(run), run_files.SUMMARY)
    try:
        summary = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}).") from None
    if not isinstance(summary, dict):
        raise UserError(f"{path} is damaged (not an object).")
    return summary


def _file(folder: Path, name: str) -> Path:
    """A file of an evaluation: no link, and no pipe that would never end."""
    path = inside(folder, name)
    if not is_file(path):
        raise UserError(f"{path} is missing.")
    return path


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
    images, trials = evaluation.images, evaluation.trials
    shape = (len(trials), len(images.identities))
    lengths = [len(trial.query) for trial in trials]
    rows, rank, ap = (np.concatenate([getattr(trial, part) for trial in trials]) for part in ("query", "rank", "ap"))
    cell = images.number[rows] + np.repeat(np.arange(len(trials)) * shape[1], lengths)
    searched = np.bincount(images.number[rows], minlength=shape[1]) > 0
    matched = rank > 0

    def summed(values: Floats) -> Floats:
        sums = np.bincount(cell[matched], weights=values[matched], minlength=shape[0] * shape[1])
        return sums.reshape(shape)[:, searched].astype(float)

    of_trial = np.array([trial.matched.sum() for trial in trials])
    queries = hashlib.sha256(of_trial.tobytes() + images.digests[rows[matched]].tobytes()).hexdigest()
    sums = {"mAP": summed(ap), "rank1": summed((rank == 1).astype(float))}
    return Scores(sums, summed(np.ones(len(rows))), queries)


def _trial(arrays: dict[str, Any], number: str, images: int) -> Trial:
    parts = {name: arrays[f"{number}/{name}"] for name in ("query", "gallery", "rank", "ap", "ap_trapezoid", "inp")}
    if any(values.ndim != 1 for values in parts.values()) or any(parts[name].dtype.kind not in "iu" for name in WHOLE):
        raise ValueError(f"trial {number} has arrays of a wrong kind")
    lengths = {len(values) for name, values in parts.items() if name != "gallery"}
    if len(lengths) != 1:
        raise ValueError(f"trial {number} has arrays of different lengths")
    rows = np.concatenate([parts["query"], parts["gallery"]])
    if len(rows) and (rows.min() < 0 or rows.max() >= images):
        raise ValueError(f"trial {number} names an image that is not listed")
    return Trial(**parts)
