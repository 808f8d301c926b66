"""Pictures as characters: two colours and four dots a cell, which every terminal can show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from engine.data.decode import read_inside

Pixels = NDArray[np.uint8]

# Bit 1: upper left, 2: upper right, 4: lower left, 8: lower right.
QUADRANTS = " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"
LARGEST = 512  # pixels a side that are kept of a picture


def load(root: Path, path: str) -> Pixels:
    """The picture of a run's image as [H, W, 3], at most 512 pixels a side. Raises Undecodable, see `read_inside`."""
    image = read_inside(root, path, LARGEST // 2)
    image.thumbnail((LARGEST, LARGEST))
    return np.asarray(image)


def quadrants(pixels: Pixels) -> tuple[NDArray[np.str_], Pixels, Pixels]:
    """Characters [H/2, W/2] and the colours of their dots and of the ground [H/2, W/2, 3], from pixels [H, W, 3].

    In each cell the brighter dots take one colour and the darker ones another: their means.
    """
    height, width, _ = pixels.shape
    cells = (
        pixels.reshape(height // 2, 2, width // 2, 2, 3).transpose(0, 2, 1, 3, 4).reshape(height // 2, width // 2, 4, 3)
    )
    light = cells.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    middle = (light.max(axis=2) + light.min(axis=2)) / 2
    bright = light > middle[..., None]
    colors = []
    for chosen in (bright, ~bright):
        count = np.maximum(1, chosen.sum(axis=2))[..., None]
        colors.append(((cells * chosen[..., None]).sum(axis=2) / count).astype(np.uint8))
    codes = (bright * np.array([1, 2, 4, 8])).sum(axis=2)
    chars = np.array(list(QUADRANTS))[codes]
    return (
        chars,
        colors[0],
        np.where(bright.any(axis=2)[..., None] & bright.all(axis=2)[..., None], colors[0], colors[1]),
    )


def strips(pixels: Pixels, width: int, height: int, base: Style) -> list[Strip]:
    """The picture in width x height cells, its proportions kept (a cell is twice as high as wide), in the middle."""
    rows, columns = pixels.shape[:2]
    scale = min(width / columns, 2 * height / rows)
    across, down = max(1, round(columns * scale)), max(1, round(rows * scale / 2))
    across, down = min(across, width), min(down, height)
    small = np.asarray(Image.fromarray(pixels).resize((2 * across, 2 * down), Image.Resampling.LANCZOS))
    chars, front, back = quadrants(small)
    left, top = (width - across) // 2, (height - down) // 2
    blank = Strip([Segment(" " * width, base)], width)
    found = [blank] * top
    for row in range(down):
        segments = [Segment(" " * left, base)] if left else []
        for char, one, other in zip(chars[row], front[row].tolist(), back[row].tolist(), strict=True):
            segments.append(Segment(str(char), Style(color=Color.from_rgb(*one), bgcolor=Color.from_rgb(*other))))
        if rest := width - left - across:
            segments.append(Segment(" " * rest, base))
        found.append(Strip(segments, width))
    return found + [blank] * (height - len(found))
