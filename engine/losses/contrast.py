"""The contrast of images and texts, several of which may be of one identity (Li et al. 2023, CLIP-ReID, stage 1)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from engine.losses.precision import no_autocast, widen


def image_text_contrast(images: Tensor, texts: Tensor, identities: Tensor, scale: float = 0.0) -> tuple[Tensor, Tensor]:
    """Images against texts and texts against images, in nats: with v_i · t_j as the logits,

    i2t = mean over i of the mean over {j: y_j = y_i} of -log softmax_j(v_i · t_j), and t2i the same of the transpose.

    `images` v and `texts` t [B, D] belong together row by row; `identities` y [B]. A `scale` s above 0 takes s times
    the cosine in place of the product, for encoders whose features have no useful length.
    """
    with no_autocast(images):
        images, texts = widen(images), widen(texts)
        if scale:
            images, texts = scale * normalize(images), normalize(texts)
        logits = images @ texts.T
        same = (identities[:, None] == identities).to(logits.dtype)
        share = same / same.sum(dim=1)  # symmetric, so it serves both directions
        return cross_entropy(logits, share), cross_entropy(logits.T, share)
