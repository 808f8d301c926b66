"""The claims about the losses: the figures against slow references, the outcomes on planted embeddings."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import silhouette_samples

from handreid_tui.compare import compare, render
from handreid_tui.compare.claims import CLAIMS
from handreid_tui.compare.embedding_shape import angular_margin, relative_radius, silhouette
from tests.support.planted_runs import clusters, identities, plant

IDENTITY = identities(12)
NUMBER = np.unique(IDENTITY, return_inverse=True)[1]
FEATURES = clusters(IDENTITY, 0.7).astype(float)


def per_identity(values: np.ndarray) -> np.ndarray:
    return np.array([values[i == NUMBER].sum() for i in range(12)])


def test_the_silhouette_is_scikit_learns():
    assert silhouette(FEATURES, NUMBER) == pytest.approx(per_identity(silhouette_samples(FEATURES, NUMBER)))


def test_the_relative_radius_is_the_distance_to_the_mean_in_units_of_the_other_means():
    means = [FEATURES[i == NUMBER].mean(axis=0) for i in range(12)]
    slow = []
    for feature, i in zip(FEATURES, NUMBER, strict=True):
        apart = np.mean([np.linalg.norm(means[i] - means[j]) for j in range(12) if j != i])
        slow.append(np.linalg.norm(feature - means[i]) / apart)
    assert relative_radius(FEATURES, NUMBER) == pytest.approx(per_identity(np.array(slow)))


def test_the_angular_margin_leaves_the_image_out_of_its_own_direction():
    def angle(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))))

    slow = []
    for row, (feature, i) in enumerate(zip(FEATURES, NUMBER, strict=True)):
        others = [FEATURES[k] for k in range(len(FEATURES)) if NUMBER[k] == i and k != row]
        nearest = min(angle(feature, FEATURES[j == NUMBER].sum(axis=0)) for j in range(12) if j != i)
        slow.append(nearest - angle(feature, np.sum(others, axis=0)))
    assert angular_margin(FEATURES, NUMBER) == pytest.approx(per_identity(np.array(slow)))


@pytest.mark.parametrize("figure", [silhouette, relative_radius])
def test_moving_all_images_closer_together_gains_nothing(figure):
    center = FEATURES.mean(axis=0)
    shrunk = center + 0.1 * (FEATURES - center)
    assert figure(shrunk, NUMBER) == pytest.approx(figure(FEATURES, NUMBER))


@pytest.mark.parametrize("figure", [silhouette, relative_radius, angular_margin])
def test_a_collapsed_embedding_scores_no_better_than_a_good_one_and_is_a_number(figure):
    collapsed = np.tile(FEATURES[:1], (len(FEATURES), 1))
    value = figure(collapsed, NUMBER)
    assert np.isfinite(value).all()
    assert value.sum() >= 0.5 * len(FEATURES) if figure is relative_radius else value.sum() <= 1e-6


def outcomes(tmp_path, spreads: dict[str, float], seeds: int = 3) -> dict[str, str]:
    identity = identities()
    number, planted = 0, []
    for place, (combo, spread) in enumerate(spreads.items()):
        for seed in range(seeds):
            number += 1
            planted.append(
                plant(tmp_path, number, combo, clusters(identity, spread, 100 * place + seed), identity, seed)
            )
    (section,) = compare(planted, claims=True).sections
    return {finding.claim.term: finding.outcome for finding in section.findings}


def test_claims_hold_where_the_embedding_shows_them(tmp_path):
    found = outcomes(tmp_path, {"ce": 0.8, "ce_triplet": 0.6, "ce_triplet_center": 0.4, "ce_arcface": 0.5})
    assert found == {"triplet": "held", "center": "held", "arcface": "held"}


def test_claims_do_not_hold_where_the_embedding_shows_the_opposite(tmp_path):
    found = outcomes(tmp_path, {"ce": 0.5, "ce_triplet": 0.7, "ce_triplet_center": 0.9, "ce_arcface": 0.7})
    assert found == {"triplet": "not held", "center": "not held", "arcface": "not held"}


def test_claims_are_not_distinguishable_where_nothing_changed(tmp_path):
    found = outcomes(tmp_path, {"ce": 0.6, "ce_triplet": 0.6, "ce_triplet_center": 0.6, "ce_arcface": 0.6})
    assert set(found.values()) == {"not distinguishable"}


def test_each_claim_is_measured_against_the_combination_without_that_term(tmp_path):
    identity = identities()
    combos = ("ce", "ce_triplet", "ce_triplet_center", "ce_arcface")
    planted = [
        plant(tmp_path, n, combo, clusters(identity, 0.6, n), identity, n % 2) for n, combo in enumerate(2 * combos)
    ]
    findings = compare(planted, claims=True).sections[0].findings
    assert [(f.claim.term, f.combo, f.without) for f in findings] == [
        ("triplet", "ce_triplet", "ce"),
        ("center", "ce_triplet_center", "ce_triplet"),
        ("arcface", "ce_arcface", "ce"),
    ]


def test_a_claim_that_cannot_be_measured_says_what_is_missing(tmp_path):
    identity = identities()
    planted = [plant(tmp_path, 1, "ce_triplet", clusters(identity, 0.6), identity)]
    comparison = compare(planted, claims=True)
    reasons = {finding.claim.term: finding.reason for finding in comparison.sections[0].findings}
    assert reasons["triplet"] == "There is no run of ce in this configuration."
    assert "No finished run" in reasons["center"]
    assert {finding["outcome"] for finding in json.loads(render(comparison, "json"))["protocols"][0]["claims"]} == {
        "not measured"
    }
    assert "triplet, not measured" in render(comparison, "markdown")


def test_other_settings_than_the_term_must_be_equal(tmp_path):
    identity = identities()
    planted = [
        plant(tmp_path, 1, "ce", clusters(identity, 0.9, 1), identity),
        plant(tmp_path, 2, "ce_triplet", clusters(identity, 0.5, 2), identity, **{"train.lr": 1e-4}),
    ]
    findings = compare(planted, claims=True).sections[0].findings
    assert {finding.outcome for finding in findings} == {"not measured"}


def test_distractors_in_the_gallery_are_not_part_of_a_figure(tmp_path):
    identity = identities()
    planted = [plant(tmp_path, n, c, clusters(identity, 0.6, n), identity) for n, c in enumerate(["ce", "ce_triplet"])]
    before = compare(planted, claims=True).sections[0].findings[0].values
    for run in planted:  # 30 images of identities that nobody searches for
        path = run.directory / "evaluation"
        listed = json.loads((path / "images.json").read_text())
        listed["images"] += [{"name": f"d{i}", "path": f"d{i}", "identity": f"d{i // 3}"} for i in range(30)]
        (path / "images.json").write_text(json.dumps(listed))
        from safetensors.numpy import load_file, save_file

        stored = load_file(path / "features.safetensors")
        more = clusters(np.repeat(np.arange(10), 3).astype(str), 0.1)
        stored["features"] = np.concatenate([stored["features"], more])
        stored["identity"] = np.concatenate([stored["identity"], 1000 + np.repeat(np.arange(10), 3)])
        save_file(stored, path / "features.safetensors")
    assert compare(planted, claims=True).sections[0].findings[0].values == before


def test_every_claim_is_about_a_term_that_exists():
    from engine.contract.terms import TERMS

    assert {claim.term for claim in CLAIMS} <= set(TERMS)


@pytest.mark.parametrize("format", ["table", "markdown", "latex", "csv", "json"])
def test_where_no_claim_can_be_measured_every_format_is_still_written(tmp_path, format):
    identity = identities()
    comparison = compare([plant(tmp_path, 1, "ce", clusters(identity, 0.6), identity)], claims=True)
    console = Console(record=True, width=100)
    console.print(render(comparison, format))
    text = console.export_text()
    assert "ce" in text
    assert "not measured" in text or format in ("latex", "csv")
