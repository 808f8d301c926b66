"""Oracle 11: when a likelihood ratio is withheld. Also one figure, ranks and bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from handreid_tui.casework.ratios import CalibrationSource, RatioCalculator, one_figure, open_source, reasons_against
from handreid_tui.casework.search import Hit, enrol, search
from handreid_tui.evidence.calibration import Calibration, hash_person, make_calibration, write_calibration
from handreid_tui.evidence.evidence import weigh
from handreid_tui.evidence.pairs import Shape
from tests.support.planted_runs import clusters, identities, plant

ASPECT = "dorsal-right"


@pytest.fixture
def source(tmp_path: Path) -> CalibrationSource:
    people = np.array([f"{ASPECT}/{each}" for each in identities(30).tolist()])
    evaluation = plant(tmp_path, 1, "ce", clusters(people, 0.6), people, images=tmp_path / "images").evaluation
    made = make_calibration("0001-ce", evaluation, weigh(evaluation, Shape()), set(), "model")
    return open_source(write_calibration(evaluation.folder, made))


def reasons(source: CalibrationSource, **changed: object) -> list[str]:
    """What speaks against a photo like those of the calibration, of the calibrated aspect, of new people."""
    photo = clusters(identities(31), 0.6)[-1:]  # of a person who is not in the calibration
    given = {"weights": "model", "aspect": ASPECT, "photos": photo, "hashes": {"new"}, "people": {"someone"}}
    return reasons_against(source, **{**given, **changed})


def changed(source: CalibrationSource, **fields: object) -> CalibrationSource:
    return CalibrationSource(source.calibration.model_copy(update=fields), source.path, source.evaluation)


def test_nothing_speaks_against_new_people(source: CalibrationSource) -> None:
    assert reasons(source) == []


@pytest.mark.parametrize("name", ["1005", "0001005", "dorsal-right/1005", "palmar-left/1005", "palmar-left_1005"])
def test_a_person_of_the_calibration_in_the_gallery_withholds(source: CalibrationSource, name: str) -> None:
    assert "the calibration includes 1 person of the gallery by name" in reasons(source, people={"someone", name})[0]


def test_an_image_of_the_calibration_in_the_case_withholds(source: CalibrationSource) -> None:
    assert "includes 1 image of the case" in reasons(source, hashes={"new", source.calibration.image_hashes[7]})[0]


def test_people_who_were_trained_on_withhold(source: CalibrationSource) -> None:
    assert "was trained on 1 person" in reasons(changed(source, trained_people=[hash_person("1005")]))[0]
    other = changed(source, trained_people=None, evaluation="elsewhere-all-own")
    assert "it is unknown whether" in reasons(other)[0]
    assert reasons(changed(source, trained_people=None)) == []  # a run's own test people are never trained on


@pytest.mark.parametrize("aspect", ["", "palmar-left"])
def test_another_aspect_withholds(source: CalibrationSource, aspect: str) -> None:
    assert "the calibration is for dorsal-right" in reasons(source, aspect=aspect)[0]


def test_another_model_withholds(source: CalibrationSource) -> None:
    assert reasons(source, weights="another")[0] == "the calibration belongs to another model"


def test_too_few_people_withhold(source: CalibrationSource) -> None:
    assert "the calibration has 19 people" in reasons(changed(source, people=19))[0]


def test_a_photo_unlike_the_calibrations_withholds(source: CalibrationSource) -> None:
    assert source.evaluation
    opposite = -source.evaluation.features[:1]
    assert "photos unlike" in reasons(source, photos=opposite)[0]
    assert "cannot be compared" in reasons(CalibrationSource(source.calibration, source.path, None))[0]


def test_a_candidate_with_other_numbers_of_images_is_calibrated_anew_or_withheld(source: CalibrationSource) -> None:
    calculator = RatioCalculator(source, 1, ())
    single, three, many = (calculator.ratio(Hit("x", 0.95, images, 1, False)) for images in (1, 3, 40))
    assert single.log10 is not None and three.log10 is not None and single.log10 != three.log10
    assert many.log10 is None and "only 0 people" in many.withheld
    alone = RatioCalculator(CalibrationSource(source.calibration, source.path, None), 1, ())
    assert alone.ratio(Hit("x", 0.95, 3, 1, False)).withheld == "calibrated for images 1:1, not 1:3"


def test_bounded_ratios_say_so(source: CalibrationSource) -> None:
    calculator = RatioCalculator(source, 1, ())
    high, low = (calculator.ratio(Hit("x", score, 1, 1, False)) for score in (1.0, -1.0))
    assert high.text.startswith("at least ") and low.text.startswith("at most ")
    calibration: Calibration = source.calibration
    assert (high.log10, low.log10) == (pytest.approx(calibration.upper), pytest.approx(calibration.lower))


def test_one_significant_figure() -> None:
    assert [one_figure(v) for v in (92.3, 0.0324, 1.04, 2400, 0.5, 3e7, 2e-6)] == [
        "90", "0.03", "1", "2000", "0.5", "3e+07", "2e-06",
    ]  # fmt: skip


def test_a_template_is_the_mean_of_its_images_and_search_is_exact() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(300, 8)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    persons = [f"{n % 100:03}" for n in range(300)]
    enrolled = enrol(persons, features)
    mean = features[[5, 105, 205]].mean(axis=0)
    assert np.allclose(enrolled.templates[5], mean / np.linalg.norm(mean), atol=1e-6)
    probe = features[5]
    hits = search(enrolled, probe, 7)
    order = np.argsort(-(enrolled.templates @ probe))
    assert [hit.person for hit in hits] == [enrolled.people[row] for row in order[:7].tolist()]
    assert [hit.place for hit in hits] == list("1234567")
