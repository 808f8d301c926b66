"""Points that depend on what was reached: the tree-structured Parzen estimator of Optuna (Bergstra et al. 2011).

The study lives in memory and is built anew from the run directories for each proposal, so the same directories give
the same point in any process. Needs the extra `tune`; everything else about sweeps does not.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from engine.contract.errors import UserError
from handreid_tui.sweeps.points import Point
from handreid_tui.sweeps.space import Dimension

if TYPE_CHECKING:
    import optuna

STARTUP = 8  # trials before the first proposal: the recipe, then quasi-random points
IMPORTANCES_FROM = 96  # trials: with fewer, the strongest of five settings often does not come first

Result = tuple[Point, float]


def check_installed(what: str) -> None:
    """Raises UserError where the extra `tune` is not installed."""
    if importlib.util.find_spec("optuna") is None:
        raise UserError(f"{what} needs Optuna: pip install 'handreid[tune]'.")


def propose(space: Sequence[Dimension], results: Sequence[Result], seed: int) -> Point:
    """The next point to try, from points and their validation mAP. A function of its arguments alone."""
    import optuna

    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=1, multivariate=True)
    study = _study(space, results, sampler)
    asked = study.ask(_distributions(space)).params
    return {one.key: one.choices[asked[one.key]] if one.choices else _rounded(asked[one.key]) for one in space}


def importances(space: Sequence[Dimension], results: Sequence[Result]) -> dict[str, float] | None:
    """How much each setting matters for being among the best (PED-ANOVA, Watanabe et al. 2023); the shares add up to 1.

    None with fewer than 96 results, or without Optuna.
    """
    if len(results) < IMPORTANCES_FROM or importlib.util.find_spec("optuna") is None:
        return None
    import optuna

    study = _study(space, results, optuna.samplers.RandomSampler(seed=0))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    found: Mapping[str, float] = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {one.key: float(found.get(one.key, 0.0)) for one in space}


def _study(space: Sequence[Dimension], results: Sequence[Result], sampler: Any) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    distributions = _distributions(space)
    for point, value in results:
        params = {one.key: one.choices.index(point[one.key]) if one.choices else point[one.key] for one in space}
        with suppress(ValueError):  # the recipe's values may lie beyond the ranges
            study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=value))
    return study


def _distributions(space: Sequence[Dimension]) -> dict[str, optuna.distributions.BaseDistribution]:
    return {one.key: _distribution(one) for one in space}


def _distribution(one: Dimension) -> optuna.distributions.BaseDistribution:
    import optuna

    if one.choices:
        return optuna.distributions.CategoricalDistribution(range(len(one.choices)))
    if one.step and one.low == int(one.low) and one.step == int(one.step):
        steps = int((one.high - one.low) / one.step + 1e-9)
        low, step = int(one.low), int(one.step)
        return optuna.distributions.IntDistribution(low, low + steps * step, step=step)
    return optuna.distributions.FloatDistribution(one.low, one.high, log=one.log, step=one.step or None)


def _rounded(value: Any) -> Any:
    return value if isinstance(value, int) else float(f"{value:.4g}")
