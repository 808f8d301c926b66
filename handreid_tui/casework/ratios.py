"""Likelihood ratios of candidates where they may be given, and the reasons where they may not."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.contract import run_files
from engine.contract.errors import UserError
from engine.data.wording import count
from engine.search.open_set import false_positive_rate, modelled_false_positive_rate, people_without
from engine.search.searches import ROUNDING, Searches
from handreid_tui.casework.search import Features, Hit
from handreid_tui.compare.evaluation import Evaluation, read_evaluation
from handreid_tui.evidence.calibration import Calibration, hash_file, hash_person, read_calibration
from handreid_tui.evidence.cross_fit import LEAST_PEOPLE, Calibrated, calibrate
from handreid_tui.evidence.evidence import Material, material_of, nearness, pairs_of
from handreid_tui.evidence.pairs import Shape, enough, template_searches
from handreid_tui.evidence.searches import searches_of_trials

LN10 = math.log(10)


@dataclass(frozen=True)
class CalibrationSource:
    """A calibration with the evaluation whose features it was made from; `evaluation` None: they are not there."""

    calibration: Calibration
    path: Path
    evaluation: Evaluation | None


@dataclass(frozen=True)
class Ratio:
    """log10 LR of a candidate; `bound`: "at least" or "at most" where it was clipped. `withheld`: why there is none."""

    log10: float | None
    bound: str = ""
    withheld: str = ""

    @property
    def text(self) -> str:
        """One significant figure: `at least 90`, `0.03`; empty where it is withheld."""
        if self.log10 is None:
            return ""
        return f"{self.bound} {one_figure(10**self.log10)}".strip()


@dataclass
class RatioCalculator:
    """Weighs candidates of photos against people, by a calibration source and what speaks against using it."""

    source: CalibrationSource
    probe_images: int
    withheld: tuple[str, ...]
    _fits: dict[int, Calibrated | str] = field(default_factory=dict)

    def ratio(self, hit: Hit) -> Ratio:
        """The bounded LR of a candidate with its own number of reference images."""
        if self.withheld:
            return Ratio(None, withheld="see below")
        fit = self._fit(hit.images)
        if isinstance(fit, str):
            return Ratio(None, withheld=fit)
        value = float(fit(np.array([hit.score]))[0]) / LN10
        at_bound = (value >= fit.bounds.upper - 1e-9, value <= fit.bounds.lower + 1e-9)
        return Ratio(value, "at least" if at_bound[0] else "at most" if at_bound[1] else "")

    def _fit(self, images: int) -> Calibrated | str:
        if images not in self._fits:
            self._fits[images] = self._refit(Shape(self.probe_images, images))
        return self._fits[images]

    def _refit(self, shape: Shape) -> Calibrated | str:
        calibration, evaluation = self.source.calibration, self.source.evaluation
        if shape == calibration.shape:
            return calibration.calibrated
        if evaluation is None:
            return f"calibrated for images {calibration.shape.text}, not {shape.text}"
        try:
            pairs = pairs_of(evaluation, material_of(evaluation), shape, calibration.population)
            if pairs.persons < LEAST_PEOPLE:
                return f"only {pairs.persons} people to calibrate {shape.text}"
            return calibrate(pairs)
        except UserError as error:
            return str(error)


def open_source(path: Path) -> CalibrationSource:
    """The calibration in a file, with the evaluation beside it where that is still the one it was made from."""
    calibration = read_calibration(path)
    folder = path.parent
    evaluation = None
    if hash_file(folder / run_files.FEATURES) == calibration.features:
        own = folder.name == run_files.EVALUATION
        run = folder.parent if own else folder.parent.parent
        try:
            evaluation = read_evaluation(run, None if own else folder.name)
        except UserError:
            evaluation = None
    return CalibrationSource(calibration, path, evaluation)


def reasons_against(
    source: CalibrationSource, weights: str, aspect: str, photos: Features, hashes: set[str], people: set[str]
) -> list[str]:
    """Why no LR may be given: one sentence each, none where it may.

    `weights`: hash of the model that embedded. `aspect`: that of the photos, as the user says. `photos` [M, D]: their
    features. `hashes`: SHA-256 of photos and references. `people`: names in the gallery.
    """
    c = source.calibration
    checks = (
        c.weights != weights and "the calibration belongs to another model",
        c.people < LEAST_PEOPLE
        and f"the calibration has {c.people} people, and an LR requires at least {LEAST_PEOPLE}",
        _overlap(c, hashes, people),
        _trained(c),
        *misfits(source, aspect, photos),
    )
    return [reason for reason in checks if reason]


def misfits(source: CalibrationSource, aspect: str, photos: Features) -> list[str]:
    """Why scores of the calibration say nothing of these photos: another aspect, or pictures unlike them."""
    c = source.calibration
    checks = (c.aspect not in ("", aspect) and _other_aspect(c.aspect, aspect), _unlike(source, photos))
    return [reason for reason in checks if reason]


def _overlap(c: Calibration, hashes: set[str], people: set[str]) -> str:
    known, images = set(c.person_hashes), set(c.image_hashes)
    shared = sorted(name for name in people if hash_person(name) in known)
    if shared:
        number = count(len(shared), "person", "people")
        return f"the calibration includes {number} of the gallery by name, first {shared[0]}"
    if both := len(images & hashes):
        return f"the calibration includes {count(both, 'image')} of the case"
    return ""


def _trained(c: Calibration) -> str:
    if c.trained_people:
        return f"the run was trained on {count(len(c.trained_people), 'person', 'people')} of the calibration"
    if c.trained_people is None and c.evaluation != run_files.EVALUATION:
        return "it is unknown whether people of the calibration were trained on: the training data are not available"
    return ""


def _other_aspect(calibrated: str, aspect: str) -> str:
    given = f"the photos are {aspect}" if aspect else "no --aspect was given for the photos"
    return f"the calibration is for {calibrated}, and {given}"


def _unlike(source: CalibrationSource, photos: Features) -> str:
    if source.evaluation is None:
        return "the photos cannot be compared with those of the calibration: its features are not available"
    material, c = material_of(source.evaluation), source.calibration
    if photos.shape[1] != material.features.shape[1]:
        return "the features of the calibration belong to another model"
    nobody = np.full(len(photos), -1, dtype=np.int64)
    near = nearness(photos.astype(np.float64), nobody, material.features, material.people.person)
    outside = (near < c.typical_low) | (near > c.typical_high)
    if not outside.any():
        return ""
    first = float(near[outside][0])
    return (
        f"{int(outside.sum())} of {len(near)} photos unlike those of the calibration (mean of the 10 highest "
        f"cosines {first:.3f}, theirs {c.typical_low:.3f} to {c.typical_high:.3f})"
    )


@dataclass
class CandidateRates:
    """FPIR(n, score) of a gallery of `size` people, from the calibration's own searches."""

    size: int
    searches: Searches
    measured: str

    @classmethod
    def of(cls, evaluation: Evaluation, size: int, shape: Shape) -> CandidateRates:
        """From searches of templates of this `shape` where enough people have the images, else of single images."""
        material = material_of(evaluation)
        if shape.needed > 2 and _people_with(material, shape) > 1:
            searches = template_searches(material.features, material.people, shape)
            return cls(size, searches, f"templates of {shape.text} images of {_people_with(material, shape)} people")
        searches = searches_of_trials(evaluation)
        return cls(size, searches, f"single images of {len(np.unique(searches.person))} people")

    @property
    def modelled(self) -> bool:
        """Whether the gallery is larger than the one tested."""
        return self.size > people_without(self.searches)

    @property
    def least(self) -> float:
        """The rate below which so few people tell nothing: 3 / people, and for the model 3 / comparisons of people."""
        people = len(np.unique(self.searches.person))
        if not self.modelled:
            return min(1.0, 3 / people)
        comparisons = people * max(1, people_without(self.searches))
        return 1 - (1 - min(1.0, 3 / comparisons)) ** self.size

    def at(self, score: float) -> float:
        """FPIR(n, score): how often the best of the gallery, without the person, reaches `score`."""
        threshold = score - ROUNDING
        if self.modelled:
            return modelled_false_positive_rate(self.searches, threshold, self.size)
        return false_positive_rate(self.searches, threshold, self.size)


def _people_with(material: Material, shape: Shape) -> int:
    rows: NDArray[np.int64] = enough(material.people, shape)
    return len(np.unique(material.people.person[rows]))


def one_figure(value: float) -> str:
    """One significant figure without an exponent between 1e-4 and 1e6: 92.3 as `90`."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.0e}")
    return f"{rounded:.0e}" if not 1e-4 <= rounded < 1e6 else f"{rounded:.10f}".rstrip("0").rstrip(".")
