"""The first stage of CLIP-ReID (Li et al. 2023): words for each identity, learnt with both towers frozen.

The projected features of the training images are computed once, without augmentation. Each step contrasts a random
batch of them with the texts of their identities; at the end the texts of all identities are kept for the second stage.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from engine.contract.config import PromptConfig
from engine.evaluation.evaluate import BATCH
from engine.losses.contrast import image_text_contrast
from engine.machine.parallel import Workers
from engine.machine.randomness import generator
from engine.training.checkpoint import Checkpoint
from engine.training.checkpoint_writer import CheckpointWriter
from engine.training.progress import TrainingProgress
from engine.training.prompt_meter import PromptMeter
from engine.training.setup import TrainingSetup
from engine.training.stopping import StopRequest

WARMUP_EPOCHS = 5
WARMUP_FROM = 1e-5
LAST_RATE = 1e-6


def learn_prompts(
    setup: TrainingSetup,
    progress: TrainingProgress,
    checkpoint: Checkpoint | None,
    workers: Workers,
    writer: CheckpointWriter,
    stop: StopRequest,
) -> bool:
    """Learn the words of all identities and keep their texts; without effect where the combination has no such stage.

    Returns whether training can go on; False where it was asked to stop. Continues after `progress.prompt_step` steps
    from `checkpoint`, with the same result as without the interruption. Each process of a run does the same work.
    """
    prompts, encoder, kept = setup.prompts, setup.prompt_encoder, setup.objective.learnt_texts()
    if prompts is None or encoder is None or kept is None:
        return True
    config, device = setup.config.prompts, setup.device
    target = setup.target.to(device.torch)
    images = image_features(setup)
    adam = torch.optim.Adam([prompts.context], weight_decay=config.weight_decay)
    if checkpoint:
        adam.load_state_dict(checkpoint.optimizers[0])
    meter = PromptMeter(writer.events, steps_per_epoch(setup))
    saved = time.monotonic()
    began = saved - progress.prompt_seconds

    for step in range(progress.prompt_step, prompt_steps(setup)):
        rate = prompt_rate(config, step // steps_per_epoch(setup) + 1)
        adam.param_groups[0]["lr"] = rate
        chosen = prompt_batch(len(target), config.batch, setup.config.seed, step).to(target.device)
        classes, place = target[chosen].unique(return_inverse=True)  # an identity's text is encoded once
        with device.precision():
            texts = prompts.texts(encoder, classes)
        i2t, t2i = image_text_contrast(images[chosen], texts[place], target[chosen], kept.scale)
        (i2t + t2i).backward()
        adam.step()
        adam.zero_grad(set_to_none=True)
        progress.prompt_step, progress.prompt_seconds = step + 1, time.monotonic() - began
        if workers.main:
            meter.add(step, i2t, t2i, rate, progress.prompt_seconds)

        stopping = workers.agree(stop.requested, step, device.torch)
        if workers.main and (stopping or time.monotonic() - saved > setup.config.train.checkpoint_every):
            meter.flush()
            _save(writer, setup, progress, [adam.state_dict()])
            saved = time.monotonic()
        writer.look()
        if stopping:
            writer.wait()
            return False

    meter.flush()
    with device.precision():
        kept.texts.copy_(prompts.all_texts(encoder))
    workers.take_over([prompts.context.detach(), kept.texts])
    setup.prompt_encoder = None  # the text tower is no longer needed
    progress.prompts_learnt = True
    if workers.main:
        _save(writer, setup, progress, setup.optimizers.state())
    return True


def _save(
    writer: CheckpointWriter, setup: TrainingSetup, progress: TrainingProgress, optimizers: list[dict[str, Any]]
) -> None:
    state = asdict(progress) | {"model": setup.record}
    writer.save(Checkpoint(setup.weights(), state, optimizers), best=None, epoch=0)


@torch.no_grad()
def image_features(setup: TrainingSetup) -> Tensor:
    """The feature [M, D] in the space of the texts of the training images, as they are, by the encoder of the start."""
    was_training = setup.model.training
    setup.model.eval()
    parts = []
    for places, classes in zip(setup.train.split(BATCH), setup.target.split(BATCH), strict=True):
        images = setup.augmentation.plain(setup.images[places.to(setup.images.device)].to(setup.device.torch))
        with setup.device.precision():
            features = setup.model.encoder(images, setup.aspects_of(classes.to(setup.device.torch)))
        parts.append(features[setup.model.joint].float())
    setup.model.train(was_training)
    return torch.cat(parts)


def prompt_steps(setup: TrainingSetup) -> int:
    """The steps of the stage."""
    return setup.config.prompts.epochs * steps_per_epoch(setup)


def steps_per_epoch(setup: TrainingSetup) -> int:
    """The batches of an epoch; the last is shorter where they do not divide the images, and never empty."""
    return batches(len(setup.target), setup.config.prompts.batch)


def batches(images: int, size: int) -> int:
    """How many batches of `size` hold so many images."""
    return -(-images // size)


def prompt_batch(images: int, size: int, seed: int, step: int) -> Tensor:
    """Positions of the images of a step: each image once in an epoch, in a new random order."""
    epoch, place = divmod(step, batches(images, size))
    order = torch.randperm(images, generator=generator(seed, "prompts", epoch))
    return order[place * size : (place + 1) * size]


def prompt_rate(config: PromptConfig, epoch: int) -> float:
    """The learning rate of an epoch (from 1): five epochs of warm-up from 1e-5, then a cosine to 1e-6."""
    if epoch < WARMUP_EPOCHS:
        return WARMUP_FROM + (config.lr - WARMUP_FROM) * epoch / WARMUP_EPOCHS
    return LAST_RATE + 0.5 * (config.lr - LAST_RATE) * (1 + math.cos(math.pi * epoch / config.epochs))
