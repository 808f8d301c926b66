"""Text towers of CLIP, frozen, and prompts in which some words are vectors of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor, nn

from engine.contract.config import ModelConfig
from engine.contract.errors import UserError
from engine.contract.models import HUB, ON_HUB, OWN_CONFIGS
from engine.contract.texts import TOKENS, has_random_texts, no_text_tower, text_settings, with_clips_tokens
from engine.contract.weights import recorded_model
from engine.machine.randomness import derived_seed
from engine.model.pretrained import check_finite, weights_file
from engine.model.quick_gelu import lighten
from engine.model.tower_names import with_open_clip_names
from engine.model.towers import hub_clip, hub_declaration, published_clip
from engine.model.weight_files import read_state

# What open_clip needs beside a text tower, and nobody uses: an image tower as small as it can be.
VISION = {"image_size": 16, "patch_size": 16, "width": 32, "head_width": 32, "layers": 1}
PLACEHOLDER = "X"  # where a vector goes: one token, which no template uses as a word


def open_text_tower(config: ModelConfig, seed: int, combo: str) -> Any:
    """The text tower that belongs to an image tower (`open_tower`), with gradients off: open_clip's TextTransformer.

    Of a published tag or a repository of the hub its own, of a file the one in it; random, from `seed`, for `none` and
    for our own models, whose weights never come with one. Raises UserError where `config` has no text tower, and where
    the weights lack it.
    `combo` is what needs it.
    """
    settings = settings_with_texts(config, combo)
    open_clip.add_model_config(OWN_CONFIGS)
    if has_random_texts(config.name, config.pretrained):
        tower = _build(settings, bool(settings.get("quick_gelu")), seed)
    elif Path(config.pretrained).exists():
        source = weights_file(Path(config.pretrained))
        tower = _build(settings, bool(settings.get("quick_gelu") or recorded_model(source).get("quick_gelu")), seed)
        _fill(tower, with_open_clip_names(read_state(source)), config.pretrained, combo)
    elif config.pretrained == HUB:
        tower = _build(settings, bool(settings.get("quick_gelu")), seed)
        _fill(tower, hub_clip(config).state_dict(), config.name, combo)
    else:
        clip = published_clip(config, config.pretrained)
        quick_gelu = bool(open_clip.get_pretrained_cfg(config.name, config.pretrained).get("quick_gelu"))
        tower = _build(settings, quick_gelu or bool(settings.get("quick_gelu")), seed)
        _fill(tower, clip.state_dict(), config.pretrained, combo)
    lighten(tower)
    return tower.requires_grad_(False).eval()


def settings_with_texts(config: ModelConfig, combo: str) -> dict[str, Any]:
    """`text_settings`, also of a repository of the hub. Raises UserError as that does."""
    if config.name.startswith(ON_HUB):
        return with_clips_tokens(hub_declaration(config)["model_cfg"], config.name, combo)
    return text_settings(config.name, combo)


def _build(settings: dict[str, Any], quick_gelu: bool, seed: int) -> Any:
    torch.manual_seed(derived_seed(seed, "text tower"))
    text = settings["text_cfg"] | {"output_tokens": False}
    return open_clip.model.CustomTextCLIP(settings["embed_dim"], VISION, text, quick_gelu=quick_gelu).text


def _fill(tower: Any, state: dict[str, Tensor], source: str, combo: str) -> None:
    """Load the text tower in `state`, below whatever prefix it is."""
    wanted = tower.state_dict()
    prefixes = [name.removesuffix(TOKENS) for name in state if f".{name}".endswith(f".{TOKENS}")]
    found = [{key: state[prefix + key] for key in wanted if prefix + key in state} for prefix in prefixes]
    best = max(found, key=len, default={})
    if not best:
        raise no_text_tower(source, combo)
    wrong = [key for key, value in wanted.items() if key not in best or best[key].shape != value.shape]
    if wrong:
        raise UserError(
            f"The text tower in {source} does not fit this model: {wrong[0]!r} is missing or of another shape. "
            "Choose the model that the weights belong to.",
            "model.name",
        )
    check_finite(best, source)
    tower.load_state_dict(best)


class _Given(nn.Module):
    """In the place of a tower's token embedding: gives the vectors that were put into it, so that the tower itself
    runs as it is."""

    vectors: Tensor

    def forward(self, tokens: Tensor) -> Tensor:
        return self.vectors


class PromptEncoder(nn.Module):
    """Text features of prompts in which the placeholders `X` are vectors. Takes over `tower`, which stays frozen.

    `templates` are prompts of equal length with the placeholders at the same place. Tokens after the end of the text
    are left out where the tower looks only backwards: the result is the same, at a fraction of the cost.
    """

    fixed: Tensor
    tokens: Tensor

    def __init__(self, tower: Any, tokenizer: Any, templates: list[str]) -> None:
        super().__init__()
        tokens = tokenizer(templates)
        at = tokens == tokenizer([PLACEHOLDER])[0, 1]
        self.start, self.words = int(at[0].int().argmax()), int(at[0].sum())
        assert bool((at == at[0]).all()) and bool(at[0, self.start : self.start + self.words].all())
        if tower.attn_mask is not None and tower.cls_emb is None:
            length = int(tokens.argmax(dim=1).max()) + 1  # the last token has the highest number
            tokens = tokens[:, :length]
            tower.attn_mask = tower.attn_mask[:length, :length]
        self.register_buffer("tokens", tokens)
        self.register_buffer("fixed", tower.token_embedding(tokens).detach())
        self.width: int = tower.token_embedding.embedding_dim
        self.given = tower.token_embedding = _Given()
        self.tower = tower

    def forward(self, words: Tensor, template: Tensor | None = None) -> Tensor:
        """The text features [N, D] of `words` [N, M, W], in the prompts `template` [N], by default the first."""
        chosen = torch.zeros(len(words), dtype=torch.long, device=words.device) if template is None else template
        fixed = self.fixed[chosen]
        self.given.vectors = torch.cat([fixed[:, : self.start], words, fixed[:, self.start + self.words :]], dim=1)
        features: Tensor = self.tower(self.tokens[chosen])
        return features.float() if features.dtype in (torch.bfloat16, torch.float16) else features
