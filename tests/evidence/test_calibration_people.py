"""Oracles 12 and 13: who may calibrate, and how several photos are joined."""

from __future__ import annotations

import numpy as np
import pytest

from handreid_tui.evidence.cross_fit import calibrate, cross_fitted
from handreid_tui.evidence.measures import cllr
from handreid_tui.evidence.pairs import Pairs, Shape, pair_scores, template
from handreid_tui.evidence.people import People
from tests.evidence.scores import hands_of


def test_the_ratios_of_several_photos_must_not_be_added() -> None:  # oracle 13
    random = np.random.default_rng(0)
    people, images = 60, 6
    number = np.repeat(np.arange(people), images)
    shared = 0.7 * random.normal(size=(people, 1, 16)) * np.ones((people, images, 1))
    raw = random.normal(size=(people, 16))[number] + 0.9 * random.normal(size=(len(number), 16))
    raw += shared.reshape(-1, 16) * (np.arange(len(number)) % images < 5)[:, None]  # five photos of one session
    features = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    identity = People.of(number.astype(str))
    single = pair_scores(features, identity, Shape())
    log_ratio = calibrate(single)
    probe, reference = features.reshape(people, images, -1)[:, :5], features.reshape(people, images, -1)[:, 5]
    added = np.stack([log_ratio(probe[:, k] @ reference.T) for k in range(5)]).sum(axis=0)
    joined = template(probe) @ reference.T
    left, right = np.indices(added.shape).reshape(2, -1)
    pairs = Pairs(identity.names, left, right, joined.reshape(-1))
    naive = cllr(added.reshape(-1), pairs.same, pairs.weight)
    assert naive > cllr(cross_fitted(pairs), pairs.same, pairs.weight)


def test_templates_use_an_image_once_and_leave_out_who_has_too_few() -> None:
    features, identity = hands_of(22, 4, 0.5, seed=0)
    identity[-1] = identity[0]  # a person with three images, and one with five
    pairs = pair_scores(features, People.of(identity), Shape(2, 2))
    assert pairs.persons == 21
    assert pairs.person_pairs == 21 * 20 // 2
    assert pairs.weight[pairs.same].sum() == pytest.approx(1)
    assert pairs.weight[~pairs.same].sum() == pytest.approx(1)
    assert pairs.score[pairs.same].max() < 1 - 1e-6


def test_only_people_of_one_population_are_compared() -> None:
    features, identity = hands_of(6, 3, 0.5, seed=0)
    group = np.where(identity < "003", "a", "b")
    pairs = pair_scores(features, People.of(identity), Shape(), group)
    assert (pairs.persons, pairs.person_pairs) == (6, 6)


def test_images_of_different_aspects_are_never_paired() -> None:
    features, identity = hands_of(8, 4, 0.5, seed=0)
    aspect = np.where(np.arange(len(identity)) % 4 < 2, "dorsal-right/", "palmar-left/")
    people = People.of(np.char.add(aspect, identity))
    pairs = pair_scores(features, people, Shape())
    assert len(pairs.score) == 2 * (16 * 15 // 2)
    assert pairs.persons == 8
