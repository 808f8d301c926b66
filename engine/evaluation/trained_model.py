"""The model of a trained run, away from its training."""

from __future__ import annotations

from pathlib import Path

from engine.contract import run_files
from engine.contract.config import ModelConfig, RunConfig
from engine.contract.errors import UserError
from engine.model.reid_model import ReIDModel, build_model
from engine.training.checkpoint import load_checkpoint


def load_trained(run: Path) -> tuple[RunConfig, ReIDModel]:
    """The best model of a run, with its necks. Raises UserError where the run has none."""
    config = RunConfig.load(run / run_files.CONFIG)
    checkpoint = load_checkpoint(run / run_files.BEST_CHECKPOINT)
    if checkpoint is None:
        raise UserError(f"{run.name} has no usable checkpoint: only a trained run can be evaluated or exported.")
    weights = config.model.model_copy(update={"pretrained": str((run / run_files.BEST_CHECKPOINT).absolute())})
    model = build_model(ModelConfig.model_validate(weights.model_dump()), config.seed)
    prefix = "necks."
    necks = {name.removeprefix(prefix): value for name, value in checkpoint.weights.items() if name.startswith(prefix)}
    own = model.necks.state_dict()
    if necks.keys() != own.keys() or any(necks[name].shape != own[name].shape for name in own):
        raise UserError(
            f"{run.name} was trained by an earlier version, in which {config.model.name} gave the same feature twice: "
            "train it again."
        )
    model.necks.load_state_dict(necks)
    return config, model
