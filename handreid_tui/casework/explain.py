"""`handreid explain`: what the model used of a photo and of a reference, both ways, with three controls."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.contract.errors import UserError
from handreid_tui.casework.case import Candidate, Case, CaseImage
from handreid_tui.casework.embed import Box, embed_files
from handreid_tui.casework.occlusion import Explained, explain, windows
from handreid_tui.evidence.calibration import hash_file, weights_hash
from handreid_tui.evidence.pairs import template

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BothWays:
    """The photo and the reference that are most alike, and what was hidden in each of them."""

    photo: CaseImage
    reference: CaseImage
    of_photo: Explained
    of_reference: Explained


def candidate_at(case: Case, rank: int) -> Candidate:
    """The candidate at a place of the list, from 1. Raises UserError where there is none."""
    if not 1 <= rank <= len(case.candidates):
        raise UserError(f"The case has candidates 1 to {len(case.candidates)}, not {rank}.")
    return case.candidates[rank - 1]


def explain_candidate(case: Case, rank: int) -> BothWays:
    """Hide parts of the photo, then of the reference, and see how the candidate's cosine falls.

    Raises UserError where a file or the model is not as it was in the case.
    """
    candidate, run = candidate_at(case, rank), Path(case.run_directory)
    if weights_hash(run) != case.weights:
        raise UserError(f"The model of {case.run} was removed or replaced: the case cannot be explained.")
    images = [*case.photos, *candidate.references]
    for image in images:
        if hash_file(Path(image.path)) != image.sha256:
            raise UserError(f"{image.path} no longer matches the case: it was changed, moved or removed.")
    with tempfile.TemporaryDirectory(prefix="handreid-") as scratch:
        place = Path(scratch)
        features = _embed(run, images, [[]] * len(images), place)
        control = _embed(run, images, [[]] * len(images), place, untrained=True)
        count, boxes = len(case.photos), windows(case.image_size, case.patch)
        likeness = features[:count] @ features[count:].T
        photo, reference = divmod(int(likeness.argmax()), likeness.shape[1])

        def one(at: int) -> Explained:
            """Image `at` of `images` hidden, against the template of the other side."""
            own, other = (slice(count), slice(count, None)) if at < count else (slice(count, None), slice(count))

            def score(hide: Sequence[Sequence[Box]], untrained: bool = False) -> Floats:
                usual = control if untrained else features
                each = np.repeat(usual[None], len(hide), axis=0)
                each[:, at] = _embed(run, [images[at]] * len(hide), hide, place, untrained)
                found: Floats = template(each[:, own]) @ template(usual[other])
                return found

            return explain(score, lambda hide: score(hide, untrained=True), boxes)

        return BothWays(images[photo], images[count + reference], one(photo), one(count + reference))


def _embed(
    run: Path, images: Sequence[CaseImage], hide: Sequence[Sequence[Box]], scratch: Path, untrained: bool = False
) -> Floats:
    done = embed_files(run, [Path(image.path) for image in images], scratch, hide, untrained)
    for each in done.files:
        if each.row is None:
            raise UserError(f"{each.path} cannot be decoded: {each.error}.")
    return done.features.astype(np.float64)
