"""CLIP-HandID's textual inversion: each image is described by a word that is read from it (Baisa 2025, CLIP-HandID)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from engine.losses.contrast import image_text_contrast

HIDDEN = 4  # width of the hidden layers, in widths of the feature


class Inversion(nn.Module):
    """The contrast of a batch's images v with the texts "A photo of a S* hand", where the word S* = MLP(v).

    Gradients flow through the frozen text tower into the network, and into the encoder on both sides of the contrast.
    `read` turns words [B, 1, W] into text features [B, D]; `width` is W.
    """

    def __init__(
        self,
        dim: int,
        classes: int,
        dropout: float = 0.5,
        scale: float = 0.0,
        *,
        read: Callable[[Tensor], Tensor],
        width: int,
    ) -> None:
        super().__init__()
        hidden = HIDDEN * dim
        self.word = nn.Sequential(
            *_layer(dim, hidden, dropout),
            *_layer(hidden, hidden, dropout),
            nn.Linear(hidden, width),
            nn.LayerNorm(width),
        )
        self.scale = scale
        self.read = read  # a function, not a module: the tower's weights are neither trained nor kept

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        """The loss, in nats, of `features` v [B, D], in the space of the texts, whose classes are `target` [B]."""
        texts = self.read(self.word(features)[:, None])
        images_to_texts, texts_to_images = image_text_contrast(features, texts, target, self.scale)
        return images_to_texts + texts_to_images


def _layer(dim: int, width: int, dropout: float) -> list[nn.Module]:
    return [nn.Linear(dim, width), nn.LayerNorm(width), nn.GELU(), nn.Dropout(dropout)]
