"""One search: photos of an unknown person in a gallery, written as a case."""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from engine.contract.errors import UserError
from engine.contract.run_files import FEATURES
from engine.data.wording import count
from engine.search.open_set import modelled_threshold, threshold_at
from handreid_tui.casework import case as case_file
from handreid_tui.casework import log
from handreid_tui.casework.case import CalibrationUsed, Candidate, Case, CaseImage
from handreid_tui.casework.embed import Embedded, embed_files
from handreid_tui.casework.feature_store import open_store
from handreid_tui.casework.folder import keep_apart, new_case
from handreid_tui.casework.gallery import Gallery, embed_gallery, hash_references, list_gallery
from handreid_tui.casework.ratios import (
    CalibrationSource,
    CandidateRates,
    Ratio,
    RatioCalculator,
    misfits,
    open_source,
    reasons_against,
)
from handreid_tui.casework.report import render
from handreid_tui.casework.search import Enrolled, Features, Hit, enrol, search
from handreid_tui.evidence.calibration import hash_file, weights_hash
from handreid_tui.evidence.pairs import Shape, template
from handreid_tui.runs.safe_files import replace_file

CANDIDATES, GALLERY, REPORT = "candidates.csv", "gallery.csv", "report.html"
NEAR_DUPLICATE = 0.9999

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class IdentifyRequest:
    """What to search for, where, and with what. `calibration`: an evidence.json, None for no likelihood ratios.

    `features`: the user's file of gallery features, None to keep them in the case. `fpir`: draw a line there.
    """

    run: Path
    photos: list[Path]
    gallery: Path
    cases: Path
    name: str
    calibration: Path | None
    aspect: str
    length: int
    fpir: float | None
    pictures: bool
    features: Path | None


@dataclass(frozen=True)
class WrittenCase:
    """A finished case: its folder, and the hash of the last entry of its log."""

    folder: Path
    case: Case
    head: str


def identify(request: IdentifyRequest, progress: Progress) -> WrittenCase:
    """Search, and write the case folder, whole or not at all.

    Raises UserError where a photo cannot be decoded, the gallery has nobody to search, or the run has no model.
    """
    weights = weights_hash(request.run)
    if not weights:
        raise UserError(f"{request.run.name} has no model: only a trained run can search.")
    keep_apart(request.cases, "--cases", request.gallery, request.photos)
    if request.features:
        keep_apart(request.features, "--features", request.gallery, request.photos)
    store = open_store(request.features, weights)
    listed = list_gallery(request.gallery)
    source = open_source(request.calibration) if request.calibration else None
    with new_case(request.cases, request.name) as made:
        folder = made.folder
        log.append(folder, "start", command=sys.argv[1:], program=_program(), run=request.run.name, weights=weights)
        photos = _photos(request, folder)
        hashes = [each.sha256 for each in photos.files]
        log.append(folder, "photos", photos=[[str(each.path), each.sha256] for each in photos.files])
        keep = request.features or folder / FEATURES
        hashed = hash_references(listed, hashes)
        gallery = embed_gallery(hashed, request.run, store, keep, folder, progress)
        if not gallery.searched:
            raise UserError(f"No image in {request.gallery} can be searched: {gallery.not_searched[0].why_not}.")
        log.append(folder, "database", database=gallery.database, images=len(gallery.searched))
        case = _search(request, weights, photos, gallery, store.of([each.sha256 for each in gallery.searched]), source)
        if request.features is None:
            store.add(hashes, photos.features)
            store.save(folder / FEATURES)
        _write(folder, case, gallery, request.pictures)
        files = {name: hash_file(folder / name) for name in (case_file.FILE, CANDIDATES, GALLERY, REPORT)}
        log.append(folder, "result", files=files, withheld=case.withheld, candidates=len(case.candidates))
        head = log.append(folder, "end")
    return WrittenCase(made.path, case, head)


def _photos(request: IdentifyRequest, scratch: Path) -> Embedded:
    """The photos of the unknown person, each once."""
    for path in request.photos:
        if not path.is_file():
            raise UserError(f"No such photo: {path}")
    found = embed_files(request.run, [path.absolute() for path in request.photos], scratch)
    for each in found.files:
        if each.row is None:
            raise UserError(f"{each.path} cannot be decoded: {each.error}.")
    first = {each.sha256: place for place, each in reversed(list(enumerate(found.files)))}
    kept = sorted(first.values())
    files = [found.files[place] for place in kept]
    return Embedded(found.features[kept], files, found.image_size, found.patch, found.device)


def _search(
    request: IdentifyRequest,
    weights: str,
    photos: Embedded,
    gallery: Gallery,
    features: Features,
    source: CalibrationSource | None,
) -> Case:
    references = gallery.searched
    enrolled = enrol([each.person for each in references], features)
    probe = template(photos.features.astype(np.float64)).astype(np.float32)
    hits = search(enrolled, probe, request.length)
    hashes = {photo.sha256 for photo in photos.files} | {each.sha256 for each in references}
    if source is None:
        withheld = ["there is no calibration: make one with `handreid evidence RUN`"]
    else:
        withheld = reasons_against(source, weights, request.aspect, photos.features, hashes, set(enrolled.people))
    calculator = RatioCalculator(source, len(photos.files), tuple(withheld)) if source else None
    rates = _rates(source, weights, request.aspect, enrolled, photos)
    threshold = _threshold(rates, request.fpir)
    candidates = [_candidate(hit, gallery, calculator, rates, threshold) for hit in hits]
    c = source.calibration if source else None
    return Case(
        name=request.name,
        created=time.strftime("%Y-%m-%d %H:%M:%S %Z"),
        program=_program(),
        run=request.run.name,
        run_directory=str(request.run.absolute()),
        weights=weights,
        image_size=photos.image_size,
        patch=photos.patch,
        device=photos.device,
        aspect=request.aspect,
        photos=[CaseImage(path=str(p.path), sha256=p.sha256, width=p.width, height=p.height) for p in photos.files],
        gallery=str(request.gallery.absolute()),
        people=len(enrolled.people),
        images=len(references),
        not_searched=len(gallery.not_searched),
        database=gallery.database,
        calibration=c
        and CalibrationUsed(
            path=str(source.path.absolute()) if source else "",
            people=c.people,
            aspect=c.aspect,
            population=c.population,
            shape=c.shape.text,
            cllr=c.cllr.value,
            cllr_low=c.cllr.low,
            cllr_high=c.cllr.high,
            lower=c.lower,
            upper=c.upper,
        ),
        withheld=withheld,
        measured=rates.measured if rates else "",
        least_rate=rates.least if rates else 0.0,
        modelled=bool(rates and rates.modelled),
        fpir=request.fpir,
        threshold=threshold,
        candidates=candidates,
        notes=_notes(request, photos, gallery, features, enrolled),
    )


def _rates(
    source: CalibrationSource | None, weights: str, aspect: str, enrolled: Enrolled, photos: Embedded
) -> CandidateRates | None:
    """None where the calibration is not there, of another model, or does not fit the photos."""
    if source is None or source.evaluation is None or source.calibration.weights != weights:
        return None
    if misfits(source, aspect, photos.features):
        return None
    usual = int(np.bincount(enrolled.images).argmax())
    return CandidateRates.of(source.evaluation, len(enrolled.people), Shape(len(photos.files), usual))


def _threshold(rates: CandidateRates | None, fpir: float | None) -> float | None:
    if fpir is None:
        return None
    if rates is None:
        raise UserError(
            "--fpir needs a calibration of this run that fits the photos: see `handreid evidence` and --aspect."
        )
    find = modelled_threshold if rates.modelled else threshold_at
    return find(rates.searches, fpir, rates.size)


def _candidate(
    hit: Hit,
    gallery: Gallery,
    calculator: RatioCalculator | None,
    rates: CandidateRates | None,
    threshold: float | None,
) -> Candidate:
    ratio = calculator.ratio(hit) if calculator else Ratio(None, withheld="no calibration")
    own = [each for each in gallery.searched if each.person == hit.person]
    return Candidate(
        place=hit.place,
        person=hit.person,
        cosine=hit.score,
        lr=ratio.text,
        log10_lr=ratio.log10,
        lr_withheld=ratio.withheld,
        false_candidates=rates.at(hit.score) if rates else None,
        above_threshold=None if threshold is None else hit.score >= threshold,
        references=[CaseImage(path=str(each.path.absolute()), sha256=each.sha256) for each in own],
    )


def _notes(
    request: IdentifyRequest, photos: Embedded, gallery: Gallery, features: Features, enrolled: Enrolled
) -> list[str]:
    found = []
    if len(photos.files) < len(request.photos):
        again = len(request.photos) - len(photos.files)
        found.append(f"{count(again, 'photo')} given more than once: each photo is used once.")
    same = [each for each in gallery.not_searched if each.sha256 in {photo.sha256 for photo in photos.files}]
    found += [f"{each.path} is the same file as a photo: that reference was left out." for each in same]
    near = np.flatnonzero((features @ photos.features.T).max(axis=1) > NEAR_DUPLICATE)
    for row in near[:20].tolist():
        found.append(
            f"{gallery.searched[row].path} may be a near-duplicate of a photo: their cosine is above {NEAR_DUPLICATE}."
        )
    if others := [each for each in gallery.not_searched if each not in same]:
        first = others[0]
        found.append(f"{count(len(others), 'reference')} not searched, first {first.path} ({first.why_not}).")
    if unsearched := {each.person for each in gallery.references} - set(enrolled.people):
        people = count(len(unsearched), "person", "people")
        found.append(f"{people} without a searchable image: {', '.join(sorted(unsearched)[:5])}.")
    if gallery.ignored:
        ignored = count(gallery.ignored, "file, link or folder", "files, links or folders")
        found.append(f"{ignored} in the gallery without a person.")
    if len(enrolled.people) == 1:
        found.append("The gallery contains one person only: there is no ranking.")
    return found


def _write(folder: Path, case: Case, gallery: Gallery, pictures: bool) -> None:
    replace_file(folder / case_file.FILE, (json.dumps(case.model_dump(mode="json"), indent=1) + "\n").encode())
    with (folder / CANDIDATES).open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.writer(file)
        rows.writerow(["rank", "person", "cosine", "lr", "log10_lr", "lr_withheld", "false_candidates", "references"])
        for c in case.candidates:
            rate = "" if c.false_candidates is None else f"{c.false_candidates:.6f}"
            ratio = "" if c.log10_lr is None else f"{c.log10_lr:.3f}"
            why = "; ".join(case.withheld) or c.lr_withheld
            rows.writerow([c.place, c.person, f"{c.cosine:.6f}", c.lr, ratio, why, rate, len(c.references)])
    with (folder / GALLERY).open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.writer(file)
        rows.writerow(["person", "path", "sha256", "not_searched"])
        rows.writerows([each.person, each.path, each.sha256, each.why_not] for each in gallery.references)
    (folder / REPORT).write_text(render(case, pictures), encoding="utf-8", errors="replace")
    for path in folder.iterdir():
        path.chmod(0o600)


def _program() -> str:
    return f"handreid {version('handreid')}"
