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
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from handreid_tui.compare.resampling import bootstrap
from handreid_tui.compare.statistics import holm, paired_difference

Floats = NDArray[np.float64]
TRIALS = 5
ROWS = 4  # combinations beside the baseline in a simulated table


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


def tuned_effect(random: np.random.Generator, trials: int, spread: float) -> float:
    """The effect of the settings that a search over `trials` settings finds, each combination's drawn alike.

    The first setting is the recipe, with no effect; others have an effect of N(0, spread). One fold of 18 people judges
    all, and the best three are judged again on the other three folds.
    """
    effects = np.concatenate([[0.0], spread * random.normal(size=trials - 1)])
    error = 0.5 / np.sqrt(18)  # of the mean over the people of one fold
    first = effects + error * random.normal(size=trials)
    best = np.argsort(first)[-3:]
    again = effects[best] + error / np.sqrt(3) * random.normal(size=len(best))
    return float(effects[best][np.argmax(first[best] / 4 + again * 3 / 4)])


def claims_after_tuning(
    world: World, trials: int, spread: float, simulations: int, resamples: int, random: np.random.Generator
) -> None:
    """Tables of ROWS tuned combinations against a tuned baseline, and against one that was not, all equally good.

    A claim is wrong about the settings found where their true order is the other one, or there is none. About the
    combinations every claim is wrong.
    """
    wrong = {"settings": 0, "combinations": 0, "untuned": 0}
    for _ in range(simulations):
        effects = np.array([tuned_effect(random, trials, spread) for _ in range(ROWS + 1)])
        claims = _claims(world, effects, resamples, random)
        signs = np.sign(effects[1:] - effects[0])
        wrong["settings"] += bool((claims * signs < (claims != 0)).any())
        wrong["combinations"] += bool(claims.any())
        wrong["untuned"] += bool(_claims(world, np.array([0.0, *effects[1:]]), resamples, random).any())
    shares = "  ".join(f"{100 * count / simulations:12.1f}" for count in wrong.values())
    print(f"{_words(world)}  {trials:6}  {spread:6.2f}  {shares}", flush=True)


def _claims(world: World, effects: Floats, resamples: int, random: np.random.Generator) -> Floats:
    """For mAP and rank-1 of each row against the first: 1 better, -1 worse, 0 not distinguishable; [2, ROWS]."""
    ap, hits, counts = draw(random, world, effects.tolist())
    found = [
        paired_difference(metric[row], metric[0], counts, resamples)
        for metric in (ap, hits)
        for row in range(1, len(effects))
    ]
    adjusted = np.array(holm([difference.p for difference in found]))
    estimates = np.array([difference.estimate for difference in found])
    claims: Floats = np.where(adjusted <= 0.05, np.sign(estimates), 0.0).reshape(2, -1)
    return claims


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
    print(f"\nShare of tables ({ROWS} tuned rows) with a wrong claim where all combinations are equally good, %")
    print("(about the settings found; about the combinations; against an untuned baseline, were there a verdict)")
    print("identities  seeds  seed shift  level             trials  spread      settings  combinations       untuned")
    for trials, spread in ((24, 0.0), (12, 0.1), (24, 0.1), (24, 0.2)):
        world = World(48, 3, 0.3, 0.1)
        claims_after_tuning(world, trials, spread, arguments.simulations, arguments.resamples, random)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
