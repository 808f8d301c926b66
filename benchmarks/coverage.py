"""Do the intervals and verdicts of `handreid compare` keep their promises? A simulation where the truth is known.

    python benchmarks/coverage.py [--simulations 1000] [--resamples 1000]

Prints how often the 95 % interval covers the true difference (promised: 93 to 97 %), the same for the usual bootstrap
intervals that were not taken, and how often a table without any true difference holds a claim (promised: 5 %).

The model: an identity has a difficulty; a combination changes it by an amount of its own for each identity, a seed
shifts all identities and each one differently; the queries of an identity share all that, and the choice of its
gallery image in each trial. Average precision is a bent function of the sum, at most 1, with many queries at 1.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from handreid_tui.compare.resampling import bootstrap
from handreid_tui.compare.search_variation import Noise, SearchError, joint_error, noise_of, search_error, stretch
from handreid_tui.compare.statistics import holm, paired_difference

Floats = NDArray[np.float64]
TRIALS = 5
ROWS = 4  # combinations beside the baseline in a simulated table
BETTER = 0.3  # effect of the one better combination: 7 points of mAP in the middle


@dataclass(frozen=True)
class World:
    """What is sampled from. Standard deviations are on the scale of the latent score."""

    identities: int
    seeds: int
    level: float  # 0.3: mAP about 0.6; 1.7: about 0.9, near the ceiling
    seed_shift: float  # how much a seed moves all identities
    seed_interaction: float = 0.3  # how much a seed moves each identity


def draw(random: np.random.Generator, world: World, effects: list[float]) -> tuple[Floats, Floats, Floats]:
    """Sums of AP and of rank-1 hits per combination, [C, S, T, I] each, and the numbers of queries, [T, I]."""
    n = random.integers(3, 26, size=world.identities)
    of = np.repeat(np.arange(world.identities), n)
    starts = np.concatenate([[0], np.cumsum(n)[:-1]])
    difficulty = world.level + 0.8 * random.normal(size=world.identities)
    query = 0.7 * random.normal(size=len(of))
    gallery = 0.5 * random.normal(size=(TRIALS, world.identities))
    shape = (len(effects), world.seeds)
    combination = np.array(effects)[:, None] + 0.5 * random.normal(size=(len(effects), world.identities))
    seed = world.seed_shift * random.normal(size=(*shape, 1))
    seed = seed + world.seed_interaction * random.normal(size=(*shape, world.identities))
    score = (difficulty + combination[:, None] + seed)[:, :, None] + gallery
    score = score + 0.3 * random.normal(size=score.shape)
    score = score[..., of] + query + 0.5 * random.normal(size=(*shape, TRIALS, len(of)))
    ap = 1 / (1 + np.exp(-2 * score))
    hit = ap > 0.8
    ap[hit] = 1.0
    counts = np.broadcast_to(n.astype(float), (TRIALS, world.identities))
    return np.add.reduceat(ap, starts, axis=-1), np.add.reduceat(hit.astype(float), starts, axis=-1), counts


def true_difference(world: World, effect: float) -> float:
    """By brute force: many small worlds, each with new identities and a new seed."""
    random = np.random.default_rng(12345)
    many = World(200, 1, world.level, world.seed_shift, world.seed_interaction)
    found = []
    for _ in range(3000):
        ap, _, counts = draw(random, many, [0.0, effect])
        found.append((ap[1].sum() - ap[0].sum()) / counts.sum())
    return float(np.mean(found))


def other_intervals(a: Floats, b: Floats, counts: Floats, resamples: int) -> dict[str, tuple[float, float]]:
    """Percentile, BCa (Efron 1987) and studentised intervals of a difference between single runs."""
    difference = (a - b).mean(axis=0)
    totals = counts.sum(axis=-1, keepdims=True)
    ratio = difference.sum(axis=-1, keepdims=True) / totals
    identities = difference.shape[-1]
    values = (ratio + identities * (difference - ratio * counts) / totals).mean(axis=0)
    estimate, error = values.mean(), values.std(ddof=1) / np.sqrt(identities)
    replicates = bootstrap(difference, counts, resamples, seed=0)
    low, high = np.quantile(replicates, [0.025, 0.975])
    found = {"percentile": (low, high)}

    normal = NormalDist()
    bias = normal.inv_cdf(min(max(float((replicates < estimate).mean()), 1e-4), 1 - 1e-4))
    centred = values - estimate
    acceleration = (centred**3).sum() / (6 * (centred**2).sum() ** 1.5)
    shifted = [bias + z for z in (-1.96, 1.96)]
    levels = [normal.cdf(bias + z / (1 - acceleration * z)) for z in shifted]
    found["BCa"] = tuple(np.quantile(replicates, levels))

    weights = np.random.default_rng(0).multinomial(identities, np.full(identities, 1 / identities), size=resamples)
    mean = weights @ values / identities
    errors = np.sqrt(np.maximum(weights @ values**2 / identities - mean**2, 1e-12) / (identities - 1))
    low, high = np.quantile((mean - estimate) / errors, [0.025, 0.975])
    found["studentised"] = (estimate - high * error, estimate - low * error)
    return found


def coverage(world: World, simulations: int, resamples: int, random: np.random.Generator) -> None:
    effect = 0.3
    truth = true_difference(world, effect)
    covered: dict[str, int] = {}
    width = 0.0
    for _ in range(simulations):
        ap, _, counts = draw(random, world, [0.0, effect])
        ours = paired_difference(ap[1], ap[0], counts, resamples)
        intervals = {"ours": (ours.low, ours.high)} | other_intervals(ap[1], ap[0], counts, resamples)
        width += ours.high - ours.low
        for name, (low, high) in intervals.items():
            covered[name] = covered.get(name, 0) + (low <= truth <= high)
    shares = "  ".join(f"{100 * count / simulations:11.1f}" for count in covered.values())
    half = f"±{50 * width / simulations:.1f}"
    print(f"{_words(world)}  {100 * truth:6.1f}  {shares}   {half:>6}", flush=True)


def false_claims(world: World, simulations: int, resamples: int, random: np.random.Generator) -> None:
    """Tables of ROWS combinations against one baseline, both metrics, no true difference anywhere."""
    tables = uncorrected = 0
    for _ in range(simulations):
        ap, hits, counts = draw(random, world, [0.0] * (ROWS + 1))
        p = [
            paired_difference(metric[row], metric[0], counts, resamples).p
            for metric in (ap, hits)
            for row in range(1, ROWS + 1)
        ]
        uncorrected += min(p) <= 0.05
        tables += min(holm(p)) <= 0.05
    print(f"{_words(world)}  {100 * tables / simulations:6.1f}  {100 * uncorrected / simulations:12.1f}", flush=True)


@dataclass(frozen=True)
class Search:
    """How settings are drawn, judged and chosen. spread: how much settings matter, on the scale of the latent score.

    settings: `normal`, with effects of N(0, spread); `long tail`, exponential, so that few settings are very good;
    `optimum`, three settings whose distance to their optima costs up to 4 spread.
    """

    settings: str
    trials: int
    spread: float
    folds: int = 1
    shortlist: int = 3


HELD_OUT = 18  # people of a fold


def found_by(search: Search, world: World, random: np.random.Generator) -> tuple[float, Floats, Floats]:
    """The true effect of the settings that a search finds, the validation of its trials, and what repeats them."""
    effects = np.concatenate([[0.0], search.spread * random.normal(size=search.trials - 1)])  # the recipe comes first
    if search.settings == "long tail":
        effects[1:] = search.spread * (random.exponential(size=search.trials - 1) - 1)
    if search.settings == "optimum":
        points = np.concatenate([[[0.5, 0.5, 0.5]], random.random((search.trials - 1, 3))])
        effects = -4 * search.spread * (points - random.uniform(0.2, 0.8, size=3)) ** 2 @ [3.0, 1.0, 0.3]
    table = _validations(world, effects, search.folds, random)
    values = table.mean(axis=1)
    if search.folds > 1:
        return float(effects[values.argmax()]), values, table
    best = np.argsort(values)[-search.shortlist :]
    again = _validations(world, effects[best], 3, random)
    chosen = best[np.argmax(values[best] + again.sum(axis=1))]
    return float(effects[chosen]), values, again


def _validations(world: World, effects: Floats, folds: int, random: np.random.Generator) -> Floats:
    """mAP of settings with these effects on folds of held-out people, [settings, folds], one training on each."""
    people = replace(world, identities=HELD_OUT, seeds=1)
    drawn = [draw(random, people, effects.tolist()) for _ in range(folds)]
    return np.stack([(ap.sum(axis=-1) / counts.sum(axis=-1)).mean(axis=(1, 2)) for ap, _, counts in drawn], axis=1)


def claims_after_tuning(
    world: World, search: Search, simulations: int, resamples: int, random: np.random.Generator
) -> None:
    """Tables of ROWS tuned combinations against a tuned baseline, all equally good, and with one that is better.

    Every claim about a combination that is no better is wrong, whatever settings were found.
    """
    shares = np.zeros(4)
    for _ in range(simulations):
        for lift in (0.0, BETTER):
            found = [found_by(search, world, random) for _ in range(ROWS + 1)]
            effects = np.array([effect for effect, _, _ in found])
            effects[1] += lift
            noise = noise_of([table for _, _, table in found])
            noise = Noise(noise.variance / search.folds, noise.freedom)
            errors = [search_error(values.tolist(), noise) for _, values, _ in found]
            ap, hits, counts = draw(random, world, effects.tolist())
            for place, searched in enumerate((None, errors)):
                claims = _claims(ap, hits, counts, searched, resamples)
                if lift:
                    shares[2 + place] += (claims[:, 0] > 0).any()
                else:
                    shares[place] += claims.any()
    cells = "  ".join(f"{100 * share / simulations:12.1f}" for share in shares)
    words = f"{search.settings:9}  {search.trials:6}  {search.folds:5}  {search.spread:6.2f}"
    print(f"{world.seeds:5}  {world.seed_shift:10.2f}  {words}  {cells}", flush=True)


def _claims(
    ap: Floats, hits: Floats, counts: Floats, errors: Sequence[SearchError | None] | None, resamples: int
) -> Floats:
    """For mAP and rank-1 of each row against the first: 1 better, -1 worse, 0 not distinguishable; [2, ROWS].

    errors: of each row's search; without them, the search is taken as certain.
    """
    found = []
    for metric in (ap, hits):
        for row in range(1, len(ap)):
            more: list[tuple[Floats, int]] = []
            if errors is not None:
                joint = joint_error([error for error in (errors[0], errors[row]) if error])
                shares, of_precision = ((sums[row] - sums[0]).sum(axis=(0, 1)) for sums in (metric, ap))
                more = [(np.array([joint.std * stretch(shares, of_precision)]), joint.freedom)]
            found.append(paired_difference(metric[row], metric[0], counts, resamples, more=more))
    adjusted = np.array(holm([difference.p for difference in found]))
    estimates = np.array([difference.estimate for difference in found])
    claims: Floats = np.where(adjusted <= 0.05, np.sign(estimates), 0.0).reshape(2, -1)
    return claims


def tuned(simulations: int, resamples: int, worlds: Sequence[tuple[int, float]], random: np.random.Generator) -> None:
    """Claims after tuning where all combinations are equally good, and power where one is better."""
    print(f"\nShare of tables ({ROWS} tuned rows, 48 identities) with a claim, %")
    print("(wrong: all are equally good; right: one is 7 points better; without and with the part of the search)")
    print(
        "seeds  seed shift  settings   trials  folds  spread  wrong without    wrong with  right without    right with"
    )
    searches = [
        Search("normal", 24, 0.0),
        Search("normal", 12, 0.1),
        Search("normal", 24, 0.1),
        Search("normal", 24, 0.2),
        Search("normal", 8, 0.2),
        Search("normal", 24, 0.1, folds=4),
        Search("optimum", 24, 0.3),
        Search("long tail", 24, 0.1),
    ]
    for seeds, shift in worlds:
        for search in searches:
            claims_after_tuning(World(48, seeds, 0.3, shift), search, simulations, resamples, random)


def _words(world: World) -> str:
    level = "near the ceiling" if world.level > 1 else "middle"
    return f"{world.identities:10}  {world.seeds:5}  {world.seed_shift:10.2f}  {level:16}"


def untuned(simulations: int, resamples: int, random: np.random.Generator) -> None:
    """Coverage of the intervals, and claims where nothing differs."""
    print("Share of 95 % intervals that cover the true difference in mAP, %")
    header = "identities  seeds  seed shift  level              truth  "
    print(header + "  ".join(f"{name:>11}" for name in ("ours", "percentile", "BCa", "studentised")) + "    width")
    worlds = [(1, 0.0), (2, 0.0), (2, 0.1), (3, 0.0), (3, 0.1), (3, 0.4), (5, 0.1), (5, 0.4)]
    for seeds, shift in worlds:
        for identities in (24, 71):
            for level in (0.3, 1.7):
                coverage(World(identities, seeds, level, shift), simulations, resamples, random)
    print(f"\nShare of tables ({ROWS} rows, mAP and rank-1) with a claim where nothing differs, %")
    print("identities  seeds  seed shift  level              Holm  uncorrected")
    for seeds, shift in worlds:
        for identities in (24, 71):
            false_claims(World(identities, seeds, 0.3, shift), simulations, resamples, random)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1000, help="simulated comparisons in each line")
    parser.add_argument("--resamples", type=int, default=1000, help="resamples in each comparison")
    parser.add_argument("--only", choices=["tuning"], help="the rows on tuning alone")
    arguments = parser.parse_args()
    random = np.random.default_rng(2024)
    started = time.perf_counter()
    error = 100 * np.sqrt(0.95 * 0.05 / arguments.simulations)
    print(f"{arguments.simulations} simulations a line; standard error of a coverage of 95 %: {error:.1f} %\n")
    if arguments.only != "tuning":
        untuned(arguments.simulations, arguments.resamples, random)
    tuned(arguments.simulations, arguments.resamples, ((3, 0.1), (5, 0.05)), random)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
