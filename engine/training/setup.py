"""From a configuration to everything that the loop needs: data in memory, model, loss, optimizers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.contract.config import RunConfig, learns_texts
from engine.contract.errors import UserError
from engine.contract.terms import TERMS
from engine.data.augment import Augmentation
from engine.data.cache import Progress, Resize, load_pixels
from engine.data.cache_dir import cache_folder
from engine.data.catalog import Split, Trial
from engine.data.duplicates import copies
from engine.data.people import aspect_numbers, check_aspects
from engine.data.same_split import RecordedSplit, check_same_decoded, check_same_images
from engine.data.sampler import PKSampler
from engine.data.split import check_batch, open_split, without, without_test
from engine.losses.objective import Objective
from engine.machine.device import Device, open_device, send
from engine.machine.randomness import derived_seed, generator
from engine.model.depth import freeze
from engine.model.prompts import INVERTED, Prompts, notes_on_texts, open_prompt_encoder, open_prompts
from engine.model.reid_model import ReIDModel, build_model
from engine.model.text_tower import PromptEncoder
from engine.training.checkpoint import Checkpoint
from engine.training.optimizers import Optimizers, build_optimizers
from engine.training.whiten_parts import of_training_people, whiten_parts

VALIDATION_GALLERY = 3  # training images of each identity that its validation image is searched among


@dataclass
class TrainingSetup:
    """A run, ready to train."""

    config: RunConfig
    device: Device
    split: Split
    images: Tensor  # uint8 [N, S, S, 3], every image of the split, on the device where it fits
    model: ReIDModel
    objective: Objective
    optimizers: Optimizers
    augmentation: Augmentation
    sampler: PKSampler
    train: Tensor  # [M] positions of the training images in `images`
    target: Tensor  # [M] their classes
    validation: tuple[Trial, ...]
    aspects: Tensor | None = None  # [C] the aspect of each class, of a model that takes it
    prompts: Prompts | None = None  # of a combination that learns a text for each identity
    prompt_encoder: PromptEncoder | None = None  # what reads them, until they are learnt
    notes: tuple[str, ...] = ()

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The images of a step, augmented [B, 3, S, S], and their classes [B]: on the device, without a wait."""
        chosen = self.sampler.batch(step)
        images = send(self.images[send(self.train[chosen], self.images.device)], self.device.torch)
        images = self.augmentation.random(images, generator(self.config.seed, "augment", step))
        return images, send(self.target[chosen], self.device.torch)

    def aspects_of(self, classes: Tensor) -> Tensor | None:
        """The aspect of each of `classes` [B]; None of a model that takes none."""
        return None if self.aspects is None else self.aspects[classes]

    def weights(self) -> dict[str, Tensor]:
        """Every learnt value by name, the encoder's under open_clip's names."""
        necks = {f"necks.{name}": value for name, value in self.model.necks.state_dict().items()}
        learnt = {f"objective.{name}": value for name, value in self.objective.state_dict().items()}
        words = {f"prompts.{name}": value for name, value in self.prompts.state_dict().items()} if self.prompts else {}
        own = self.model.encoder.open_clip_state() | self.model.encoder.state_beside()
        return own | necks | learnt | words

    def checkpoint(self, weights: dict[str, Tensor], step: int) -> Checkpoint:
        """A checkpoint to start from, or to score: weights, and what the model is."""
        return Checkpoint(weights, {"step": step, "model": self.record})

    @property
    def record(self) -> dict[str, Any]:
        """What a checkpoint says of its model."""
        texts = {"text_width": self.prompts.context.shape[2]} if self.prompts else {}
        return {"name": self.config.model.name} | self.model.record | texts

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """The inverse of `weights`."""
        with torch.no_grad():
            for name, value in self.weights().items():
                value.copy_(weights[name])

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint: weights and the optimizers' state. One of the first stage holds that stage's."""
        self.load_weights(checkpoint.weights)
        if self.prompt_encoder is None:
            self.optimizers.load_state(checkpoint.optimizers)


@dataclass(frozen=True)
class ResumedRun:
    """The run that a checkpoint continues: its name, the data that it began with, what is known of its model, and
    whether its first stage is behind it."""

    run: str
    begun: RecordedSplit | None
    model: dict[str, Any]
    prompts_learnt: bool = False


def prepare(config: RunConfig, progress: Progress | None = None, earlier: ResumedRun | None = None) -> TrainingSetup:
    """Open the data, build the model, and check that they fit. Raises UserError for whatever the user can mend.

    `earlier`: for a run that a checkpoint will be restored into; its data must be the same, and its start weights are
    not opened.
    """
    split = open_split(config.data)
    if not config.evaluation.test:
        split = without_test(split)
    if earlier and earlier.begun:
        check_same_images(earlier.run, earlier.begun, split)
    device = open_device(config)
    model = build_model(config.model, config.seed, earlier.model if earlier else None)
    pixels = load_pixels(
        split.root, split.images, Resize(model.image_size, model.interpolation), cache_folder(), progress
    )
    notes = (*pixels.notes, *copies(split, pixels.thumbnails))
    split = without(replace(split, warnings=(*split.warnings, *notes)), pixels.bad)
    if earlier and earlier.begun:
        check_same_decoded(earlier.run, earlier.begun, split)
    if model.takes_aspects:
        check_aspects(split)
    if config.loss:
        check_batch(split, config.train.ids_per_batch, config.train.images_per_id)

    inverted = any(TERMS[term].texts == "inverted" for term in config.loss)
    reader = open_prompt_encoder(config, [INVERTED], model.dims[model.joint], device.torch) if inverted else None
    torch.manual_seed(derived_seed(config.seed, "heads"))
    objective = Objective(config.loss, model.dims, len(split.classes), reader, model.joint)
    text_width = earlier.model.get("text_width") if earlier else None
    prompts = open_prompts(config, split.classes, text_width) if learns_texts(config.loss) else None
    encoder = None
    if prompts and not (earlier and earlier.prompts_learnt):
        encoder = open_prompt_encoder(config, prompts.templates, model.dims[model.joint], device.torch)
    freeze(model.encoder, config.train.freeze)
    if config.loss and not any(weight.requires_grad for weight in model.encoder.parameters()) and not objective.heads():
        raise UserError(
            f"The whole encoder is frozen, and {config.combo} has no classifier: nothing is left to train.",
            "train.freeze",
        )
    model.to(device.torch).to(memory_format=torch.channels_last)
    objective.to(device.torch)
    if prompts:
        prompts.to(device.torch)
    images = _near(pixels.array, device.torch)
    augmentation = Augmentation(config.augment, model.mean, model.std, device.torch)
    train = torch.tensor(split.train)
    if not earlier:
        whiten_parts(model.encoder, images, of_training_people(split), augmentation, device)
    target = torch.tensor([split.classes.index(split.images[image].identity) for image in split.train])
    sampler = PKSampler(target, config.train.ids_per_batch, config.train.images_per_id, config.seed)
    return TrainingSetup(
        config=config,
        device=device,
        split=split,
        images=images,
        model=model,
        objective=objective,
        optimizers=build_optimizers(config.train, model, objective),
        augmentation=augmentation,
        sampler=sampler,
        train=train,
        target=target,
        validation=split.validation or (validation_trial(split),),
        aspects=torch.from_numpy(aspect_numbers(split.classes)).to(device.torch) if model.takes_aspects else None,
        prompts=prompts,
        prompt_encoder=encoder,
        notes=notes_on_texts(config.model) if reader or encoder else (),
    )


def validation_trial(split: Split) -> Trial:
    """The validation images as queries, against a few training images of each identity. No test identity takes part."""
    by_identity: dict[str, list[int]] = {}
    for image in split.train:
        by_identity.setdefault(split.images[image].identity, []).append(image)
    gallery = []
    for identity, images in by_identity.items():
        order = torch.randperm(len(images), generator=generator(0, "validation", identity)).tolist()
        gallery += [images[place] for place in order[:VALIDATION_GALLERY]]
    return Trial(query=split.val, gallery=tuple(sorted(gallery)))


def _near(array: np.ndarray, device: torch.device) -> Tensor:
    """The images on the GPU where they take less than a third of its free memory, else in main memory."""
    images = torch.from_numpy(np.array(array))
    if device.type == "cuda" and images.nbytes < torch.cuda.mem_get_info(device)[0] / 3:
        return images.to(device)
    return images
