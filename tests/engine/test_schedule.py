"""The learning rate at known steps (defect 5 of the field: a scheduler stepped per batch with an epoch count)."""

import pytest

from engine.contract.config import TrainConfig
from engine.training.schedule import rate_factor

STEPS = 14  # per epoch


def factors(config: TrainConfig, *epochs: float) -> list[float]:
    return [rate_factor(config, round(epoch * STEPS), STEPS) for epoch in epochs]


def test_clip_reid_recipe() -> None:
    config = TrainConfig(epochs=60, warmup_epochs=10, schedule="step", milestones=[30, 50], decay=0.1)
    assert factors(config, 0, 5, 10, 29, 30, 49, 50, 59) == pytest.approx([0.1, 0.55, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_falls_from_the_end_of_the_warmup_to_zero() -> None:
    config = TrainConfig(epochs=40, warmup_epochs=4, schedule="cosine")
    assert factors(config, 0, 4, 22, 40) == pytest.approx([0.1, 1, 0.5, 0])
    values = [rate_factor(config, step, STEPS) for step in range(4 * STEPS, 40 * STEPS)]
    assert values == sorted(values, reverse=True)


def test_a_run_shorter_than_its_warmup_still_reaches_the_full_rate() -> None:
    config = TrainConfig(epochs=4, warmup_epochs=10, schedule="constant")
    assert max(rate_factor(config, step, STEPS) for step in range(4 * STEPS)) == pytest.approx(1)
