"""What the loop knows beside the weights."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.training.checkpoint import Checkpoint


@dataclass
class TrainingProgress:
    """How far a run is; kept in every checkpoint. `prompt_…`: of the first stage, of a combination that has one."""

    step: int = 0
    seconds: float = 0.0
    best_mAP: float = -1.0
    best_epoch: int = 0
    best_step: int = 0
    before: dict[str, float] = field(default_factory=dict)
    pixels: dict[str, float] = field(default_factory=dict)
    loss_sums: dict[str, float] = field(default_factory=dict)
    loss_count: int = 0
    prompt_step: int = 0
    prompt_seconds: float = 0.0
    prompts_learnt: bool = False

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> TrainingProgress:
        return cls(**{key: value for key, value in checkpoint.state.items() if key != "model"})
