"""The prompts of CLIP-ReID: for each identity a few words that are learnt (Li et al. 2023, first stage)."""

from __future__ import annotations

from collections.abc import Sequence

import open_clip
import torch
from torch import Tensor, nn

from engine.contract.choices import ASPECTS
from engine.contract.config import ModelConfig, RunConfig
from engine.contract.errors import UserError
from engine.contract.texts import has_random_texts
from engine.machine.randomness import derived_seed
from engine.model.text_tower import PromptEncoder, open_text_tower, settings_with_texts

WORDS = 4  # learnt words of each identity
CONTEXT_STD = 0.02  # of their random start
CHUNK = 256  # prompts encoded at once where no gradient is needed

IDENTITY = f"A photo of a {' '.join('X' * WORDS)} hand."
INVERTED = "A photo of a X hand"
SIDE = {"dorsal": "back", "palmar": "palm"}
WITH_ASPECT = "A photo of the {side} of a {words} {hand} hand."


class Prompts(nn.Module):
    """`context` [C, M, W]: the learnt words of each class, W the width of the text tower; `template` [C]: the prompt
    that they stand in. `templates` are all of these prompts."""

    template: Tensor

    def __init__(self, classes: Sequence[str], width: int, aspect: bool) -> None:
        super().__init__()
        self.templates, template = templates_of(classes, aspect)
        self.context = nn.Parameter(torch.empty(len(classes), WORDS, width).normal_(std=CONTEXT_STD))
        self.register_buffer("template", torch.tensor(template), persistent=False)

    def texts(self, encoder: PromptEncoder, classes: Tensor) -> Tensor:
        """The text features [N, D] of the classes [N]."""
        features: Tensor = encoder(self.context[classes], self.template[classes])
        return features

    @torch.no_grad()
    def all_texts(self, encoder: PromptEncoder) -> Tensor:
        """The text features [C, D] of all classes."""
        everyone = torch.arange(len(self.context), device=self.context.device)
        return torch.cat([self.texts(encoder, some) for some in everyone.split(CHUNK)])


def templates_of(classes: Sequence[str], aspect: bool) -> tuple[list[str], list[int]]:
    """The prompts, and which of them each class has. With `aspect` they name the side of the hand and which hand.

    Raises UserError where an identity has no aspect.
    """
    if not aspect:
        return [IDENTITY], [0] * len(classes)
    aspects = [identity.split("/")[0] for identity in classes]
    if unknown := [identity for identity, each in zip(classes, aspects, strict=True) if each not in ASPECTS]:
        raise UserError(
            f"The prompts cannot name an aspect: the data set does not give the aspect of {unknown[0]}.",
            "prompts.aspect",
        )
    used = sorted(set(aspects))
    return [_naming(each) for each in used], [used.index(each) for each in aspects]


def _naming(aspect: str) -> str:
    side, hand = aspect.split("-")
    return WITH_ASPECT.format(side=SIDE[side], words=" ".join("X" * WORDS), hand=hand)


def open_prompts(config: RunConfig, classes: Sequence[str], width: int | None = None) -> Prompts:
    """The prompts of the classes before they are learnt. Raises UserError where the model has no text tower.

    `width`: that of the text tower, where a checkpoint says it.
    """
    width = width or int(settings_with_texts(config.model, config.combo)["text_cfg"]["width"])
    torch.manual_seed(derived_seed(config.seed, "prompts"))
    return Prompts(classes, width, config.prompts.aspect)


def open_prompt_encoder(config: RunConfig, templates: list[str], dim: int, device: torch.device) -> PromptEncoder:
    """The text tower that belongs to the encoder, reading `templates`; `dim`: the width of the encoder's last feature.

    Raises UserError where there is none, or it gives texts in another space than that of the images.
    """
    tower = open_text_tower(config.model, config.seed, config.combo)
    encoder = PromptEncoder(tower, open_clip.get_tokenizer(config.model.name), templates)
    found = encoder(torch.zeros(1, encoder.words, encoder.width)).shape[1]
    if found != dim:
        raise UserError(
            f"{config.combo} compares images with texts, but {config.model.name} gives images {dim} values and texts "
            f"{found}: choose one of CLIP's, such as ViT-B-16.",
            "model.name",
        )
    return encoder.to(device)


def notes_on_texts(config: ModelConfig) -> tuple[str, ...]:
    """What a user should know of the text tower."""
    if not has_random_texts(config.name, config.pretrained):
        return ()
    return (f"The text tower of {config.name} has random weights: its texts carry no meaning.",)
