"""Curves of open-set errors and of likelihood ratios, from the stored evaluation of a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from handreid_tui.compare.evaluation import Evaluation, Floats
from handreid_tui.evidence.evidence import weigh
from handreid_tui.evidence.measures import best_log_ratios, exceeding, expected_entropy
from handreid_tui.evidence.open_set import OpenSet
from handreid_tui.evidence.pairs import Shape
from handreid_tui.evidence.searches import searches_of_trials

LN10 = np.log(10)
RATES = np.concatenate([np.geomspace(0.002, 0.1, 20), np.linspace(0.15, 0.9, 12)])


@dataclass(frozen=True)
class Det:
    """FNIR [T] at false positive identification rates [T], with a 95 % band by person."""

    fpir: Floats
    fnir: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Tippett:
    """Shares [T] of cross-fitted log10 LRs above each of `at` [T]: of the same person, and of different people."""

    at: Floats
    same: Floats
    different: Floats


@dataclass(frozen=True)
class Entropy:
    """Empirical cross-entropy in bits [T] at prior log10 odds [T]: calibrated, at best, and with LR = 1 always."""

    log10_odds: Floats
    calibrated: Floats
    best: Floats
    neutral: Floats


def det(evaluation: Evaluation) -> Det:
    """The DET curve of the searches of all trials."""
    found = OpenSet(searches_of_trials(evaluation)).curve(RATES)
    columns = ([getattr(each, part) for each in found] for part in ("value", "low", "high"))
    return Det(RATES, *(np.array(column) for column in columns))


def tippett(evaluation: Evaluation) -> Tippett:
    """Of pairs of single images. Raises UserError below 20 people."""
    evidence = weigh(evaluation, Shape())
    pairs, ratio = evidence.pairs, evidence.log_ratio / LN10
    at = np.linspace(min(-1.0, float(ratio.min())) - 0.2, max(1.0, float(ratio.max())) + 0.2, 400)
    same, weight = pairs.same, pairs.weight
    return Tippett(at, exceeding(ratio[same], weight[same], at), exceeding(ratio[~same], weight[~same], at))


def entropy(evaluation: Evaluation) -> Entropy:
    """Of pairs of single images. Raises UserError below 20 people."""
    evidence = weigh(evaluation, Shape())
    pairs = evidence.pairs
    odds = np.linspace(-2.5, 2.5, 51)
    prior = 10**odds / (1 + 10**odds)
    ratios = (evidence.log_ratio, best_log_ratios(pairs.score, pairs.same, pairs.weight), np.zeros(len(pairs.score)))
    return Entropy(odds, *(expected_entropy(each, pairs.same, pairs.weight, prior) for each in ratios))
