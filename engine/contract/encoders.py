"""Encoders that are worth a trial, what each is and what it costs: for Launch and docs/model.md. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from engine.contract.models import own_image_size
from engine.contract.recipe import TINY


@dataclass(frozen=True)
class Encoder:
    """`millions`: parameters of the image tower. `size`: pixels a side, where open_clip's files do not say it."""

    does: str
    millions: float
    size: int | None = None


ENCODERS: dict[str, Encoder] = {
    TINY: Encoder("CLIP's transformer in small, from scratch: for trials on a CPU", 2.0),
    "ViT-B-16": Encoder("CLIP's transformer; the encoder of CLIP-ReID", 86.2),
    "ViT-L-14": Encoder("CLIP's large transformer", 304.0),
    "RN50": Encoder("CLIP's ResNet50 with attention pooling", 38.3),
    "EVA02-B-16": Encoder("masked image modelling, then CLIP; strong on people", 86.3),
    "PE-Core-B-16": Encoder("Meta's Perception Encoder", 93.7),
    "ViT-B-16-SigLIP2-256": Encoder("SigLIP 2, trained with a sigmoid loss", 92.9),
    "MobileCLIP2-S0": Encoder("small and fast: for training on a CPU", 11.4),
    "timm:vit_base_patch16_dinov3": Encoder("DINOv3, trained on images alone", 85.6, 256),
    "timm:resnet50.tv2_in1k": Encoder("ResNet50 of ImageNet; the encoder of MBA-Net", 23.5, 176),
}


def image_size(model: str) -> int | None:
    """Pixels a side of the model's own input; None where that is not known without building it."""
    known = ENCODERS.get(model)
    return (known.size if known else None) or own_image_size(model)


def encoders_table() -> str:
    """The table of encoders of docs/model.md, in Markdown."""
    rows = ["| `model.name` | | parameters | input |", "|---|---|---|---|"]
    for name, encoder in ENCODERS.items():
        rows.append(f"| `{name}` | {encoder.does} | {encoder.millions:g} M | {image_size(name)} px |")
    return "\n".join(rows)
