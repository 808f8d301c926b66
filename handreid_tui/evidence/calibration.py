"""`evidence.json`: the calibrator of a run's likelihood ratios, for `identify`, with what it rests on."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.contract import run_files
from engine.contract.errors import UserError
from engine.data.people import person_of
from handreid_tui.compare.evaluation import Evaluation
from handreid_tui.evidence.bounds import Bounds
from handreid_tui.evidence.cross_fit import Calibrated
from handreid_tui.evidence.evidence import Evidence, typical_range
from handreid_tui.evidence.likelihood_ratio import RIDGE, Calibrator
from handreid_tui.evidence.pairs import Shape
from handreid_tui.evidence.resamples import ResampledEstimate
from handreid_tui.runs.safe_files import explain, inside, read_bytes, write_json

_LARGEST = 64 << 20


class CalibrationFigure(BaseModel):
    """An estimate; bounds of the 95 % interval are None where there is none."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    value: float
    low: float | None
    high: float | None


class Calibration(BaseModel):
    """ln LR = alpha + beta * cosine, clipped to the bounds (log10), fitted on `people` by images `probe`:`reference`.

    `person_hashes` and `image_hashes`: SHA-256 of the persons' names and of the image files; `images_unread` files were
    not there to be hashed. `trained_people`: hashes of those who were trained on too, None where that is unknown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    version: Literal[1] = 1
    run: str
    evaluation: str
    alpha: float
    beta: float
    ridge: float
    lower: float
    upper: float
    people: int
    person_pairs: int
    left_out: int
    aspect: str
    probe: int
    reference: int
    population: str
    typical_low: float
    typical_high: float
    person_hashes: list[str]
    image_hashes: list[str]
    images_unread: int
    trained_people: list[str] | None
    weights: str
    features: str
    cllr: CalibrationFigure
    cllr_min: float
    cllr_min_low: float | None = None
    cllr_min_high: float | None = None
    misleading_same: CalibrationFigure
    misleading_different: CalibrationFigure
    too_strong: dict[int, CalibrationFigure]
    mean_ratio_different: CalibrationFigure

    @property
    def calibrated(self) -> Calibrated:
        bounds = Bounds(self.lower, self.upper)
        return Calibrated(Calibrator(self.alpha, self.beta), bounds, self.people, self.person_pairs)

    @property
    def shape(self) -> Shape:
        return Shape(self.probe, self.reference)


def make_calibration(
    run: str, evaluation: Evaluation, evidence: Evidence, trained: set[str] | None, weights: str
) -> Calibration:
    """What `evidence.json` holds. `trained`: who the run was trained on; `weights`: the hash of its model."""
    material, final, worth = evidence.material, evidence.final, evidence.worth
    names = [material.people.names[person] for person in sorted(set(material.people.person.tolist()))]
    hashes = [hash_file(evaluation.root / evaluation.paths[row]) for row in material.rows.tolist()]
    low, high = typical_range(material)
    both = None if trained is None else sorted(hash_person(name) for name in names if name in trained)
    return Calibration(
        run=run,
        evaluation=evaluation.folder.name,
        alpha=final.calibrator.alpha,
        beta=final.calibrator.beta,
        ridge=RIDGE,
        lower=final.bounds.lower,
        upper=final.bounds.upper,
        people=final.persons,
        person_pairs=final.person_pairs,
        left_out=evidence.left_out,
        aspect=material.aspect,
        probe=evidence.shape.probe,
        reference=evidence.shape.reference,
        population=evidence.population,
        typical_low=low,
        typical_high=high,
        person_hashes=sorted(map(hash_person, names)),
        image_hashes=sorted(each for each in hashes if each),
        images_unread=hashes.count(""),
        trained_people=both,
        weights=weights,
        features=hash_file(evaluation.folder / run_files.FEATURES),
        cllr=_figure(worth.cllr),
        cllr_min=worth.cllr_min.value,
        cllr_min_low=_figure(worth.cllr_min).low,
        cllr_min_high=_figure(worth.cllr_min).high,
        misleading_same=_figure(worth.misleading_same),
        misleading_different=_figure(worth.misleading_different),
        too_strong={k: _figure(found) for k, found in worth.too_strong.items()},
        mean_ratio_different=_figure(worth.mean_ratio_different),
    )


def write_calibration(folder: Path, calibration: Calibration) -> Path:
    """Write `evidence.json` into the folder of the evaluation. Raises UserError where that cannot be done."""
    path = inside(folder, run_files.EVIDENCE)
    try:
        write_json(path, calibration.model_dump(mode="json"))
    except OSError as error:
        raise UserError(f"{path} cannot be written: {explain(error)}") from None
    return path


def read_calibration(path: Path) -> Calibration:
    """Raises UserError where the file is missing, damaged, or holds a figure that is not finite."""
    content = read_bytes(path, limit=_LARGEST)
    if content is None:
        raise UserError(f"There is no calibration at {path}: make one with `handreid evidence RUN`.")
    try:
        found = Calibration.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path} is not a calibration ({where}: {first['msg'].lower()}).") from None
    if not all(map(math.isfinite, (found.alpha, found.beta, found.lower, found.upper))) or found.lower > found.upper:
        raise UserError(f"{path} is not a calibration: its line or bounds are not finite, or the bounds are reversed.")
    return found


def weights_hash(run: Path) -> str:
    """SHA-256 of the run's model; empty where its weights are gone."""
    return hash_file(run / run_files.BEST_CHECKPOINT / run_files.MODEL)


def hash_file(path: Path) -> str:
    """SHA-256 of a file; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def hash_person(name: str) -> str:
    """SHA-256 of a person's name: equal for `0001050`, `1050` and `dorsal-right/1050`."""
    person = person_of(name).strip().casefold()
    plain = person.lstrip("0") or "0" if person.isdecimal() else person
    return hashlib.sha256(plain.encode(errors="surrogatepass")).hexdigest()


def _figure(estimate: ResampledEstimate) -> CalibrationFigure:
    low, high = (bound if math.isfinite(bound) else None for bound in (estimate.low, estimate.high))
    return CalibrationFigure(value=estimate.value, low=low, high=high)
