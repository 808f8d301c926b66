"""CLIP's towers as other libraries name their weights, under the names of open_clip.

Hugging Face's transformers (`CLIPModel`, `CLIPVisionModelWithProjection`) and timm (`vit_*_clip_*`) hold the same
towers: renamed, the projection transposed, and in transformers query, key and value of the attention in three weights.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

State = dict[str, Tensor]

LAYERS = {
    r"encoder\.layers\.(\d+)\.layer_norm([12])\.(weight|bias)": r"transformer.resblocks.\1.ln_\2.\3",
    r"encoder\.layers\.(\d+)\.mlp\.fc1\.(weight|bias)": r"transformer.resblocks.\1.mlp.c_fc.\2",
    r"encoder\.layers\.(\d+)\.mlp\.fc2\.(weight|bias)": r"transformer.resblocks.\1.mlp.c_proj.\2",
    r"encoder\.layers\.(\d+)\.self_attn\.out_proj\.(weight|bias)": r"transformer.resblocks.\1.attn.out_proj.\2",
    r"encoder\.layers\.(\d+)\.self_attn\.([qkv])_proj\.(weight|bias)": r"transformer.resblocks.\1.attn.\2.\3",
}
TRANSFORMERS = LAYERS | {
    r"embeddings\.class_embedding": "class_embedding",
    r"embeddings\.patch_embedding\.weight": "conv1.weight",
    r"embeddings\.position_embedding\.weight": "positional_embedding",
    r"pre_layrnorm\.(weight|bias)": r"ln_pre.\1",  # the library's own spelling
    r"post_layernorm\.(weight|bias)": r"ln_post.\1",
}
TRANSFORMERS_TEXT = LAYERS | {
    r"embeddings\.token_embedding\.weight": "token_embedding.weight",
    r"embeddings\.position_embedding\.weight": "positional_embedding",
    r"final_layer_norm\.(weight|bias)": r"ln_final.\1",
}
TIMM = {
    r"cls_token": "class_embedding",
    r"pos_embed": "positional_embedding",
    r"patch_embed\.proj\.weight": "conv1.weight",
    r"norm_pre\.(weight|bias)": r"ln_pre.\1",
    r"norm\.(weight|bias)": r"ln_post.\1",
    r"head\.weight": "proj",
    r"blocks\.(\d+)\.norm([12])\.(weight|bias)": r"transformer.resblocks.\1.ln_\2.\3",
    r"blocks\.(\d+)\.attn\.qkv\.(weight|bias)": r"transformer.resblocks.\1.attn.in_proj_\2",
    r"blocks\.(\d+)\.attn\.proj\.(weight|bias)": r"transformer.resblocks.\1.attn.out_proj.\2",
    r"blocks\.(\d+)\.mlp\.fc1\.(weight|bias)": r"transformer.resblocks.\1.mlp.c_fc.\2",
    r"blocks\.(\d+)\.mlp\.fc2\.(weight|bias)": r"transformer.resblocks.\1.mlp.c_proj.\2",
}


def with_open_clip_names(state: State) -> State:
    """`state` and, for each tower of transformers or timm in it, the same tower under open_clip's names.

    A tower keeps the prefix below which it is, `vision_model.` aside; a text tower of transformers is below `text.`.
    """
    found: State = {}
    for anchor, read in (
        ("vision_model.embeddings.class_embedding", _transformers),
        ("text_model.embeddings.token_embedding.weight", _transformers_text),
        ("cls_token", _timm),
    ):
        for name in state:
            if name == anchor or name.endswith(f".{anchor}"):
                prefix = name.removesuffix(anchor)
                found |= {f"{prefix}{key}": value for key, value in read(state, prefix).items()}
    return state | found


def _transformers(state: State, prefix: str) -> State:
    tower = _with_whole_attention(_renamed(state, f"{prefix}vision_model.", TRANSFORMERS))
    if (projection := state.get(f"{prefix}visual_projection.weight")) is not None:
        tower["proj"] = projection.T
    return tower


def _transformers_text(state: State, prefix: str) -> State:
    tower = _with_whole_attention(_renamed(state, f"{prefix}text_model.", TRANSFORMERS_TEXT))
    if (projection := state.get(f"{prefix}text_projection.weight")) is not None:
        tower["text_projection"] = projection.T
    return {f"text.{name}": value for name, value in tower.items()}


def _with_whole_attention(tower: State) -> State:
    """Query, key and value in the one weight that open_clip makes of them."""
    for name in [name for name in tower if ".attn.q." in name]:
        parts = [tower.pop(name.replace(".attn.q.", f".attn.{part}."), None) for part in "qkv"]
        if all(part is not None for part in parts):
            tower[name.replace(".attn.q.", ".attn.in_proj_")] = torch.cat([part for part in parts if part is not None])
    return tower


def _timm(state: State, prefix: str) -> State:
    tower = _renamed(state, prefix, TIMM)
    tower["class_embedding"] = tower["class_embedding"].reshape(-1)
    if "positional_embedding" in tower:
        tower["positional_embedding"] = tower["positional_embedding"].flatten(0, -2)
    shift = state.get(f"{prefix}head.bias")  # CLIP's projection has none; of another head it is a classifier
    if "proj" in tower:
        tower["proj"] = tower["proj"].T
        if shift is not None and shift.count_nonzero():
            del tower["proj"]
    return tower


def _renamed(state: State, prefix: str, names: dict[str, str]) -> State:
    patterns = [(re.compile(pattern), new) for pattern, new in names.items()]
    found: State = {}
    for name, value in state.items():
        if name.startswith(prefix):
            own = name.removeprefix(prefix)
            for pattern, new in patterns:
                if match := pattern.fullmatch(own):
                    found[match.expand(new)] = value
    return found
