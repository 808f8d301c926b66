"""Pictures as characters: two colours and four dots a cell, which every terminal can show."""

from __future__ import annotations

from dataclasses import dataclass
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
LARGEST = 512  # pixels a side that are kept of a picture in a tile
WHOLE = 2048  # pixels a side that are kept of a picture at full size
GRAYS = (0, 85, 170, 255)  # the colours without hue that a terminal of 16 colours has
CLOSEST = 1 / 32  # of a picture that is still shown when it is zoomed


@dataclass(frozen=True)
class Part:
    """The part of a picture in sight: its middle and the share of width and height, as fractions of the picture."""

    x: float = 0.5
    y: float = 0.5
    share: float = 1.0

    def zoomed(self, factor: float) -> Part:
        return self._kept_inside(self.x, self.y, max(CLOSEST, min(1.0, self.share * factor)))

    def moved(self, across: float, down: float) -> Part:
        """Moved by fractions of what is in sight."""
        return self._kept_inside(self.x + across * self.share, self.y + down * self.share, self.share)

    def _kept_inside(self, x: float, y: float, share: float) -> Part:
        least, most = share / 2, 1 - share / 2
        return Part(min(max(x, least), most), min(max(y, least), most), share)

    def of(self, pixels: Pixels) -> Pixels:
        """This part of a picture [H, W, 3]: at least one pixel."""
        spans = []
        for middle, size in ((self.y, pixels.shape[0]), (self.x, pixels.shape[1])):
            length = max(1, round(self.share * size))
            start = min(max(0, round(middle * size - length / 2)), size - length)
            spans.append(slice(start, start + length))
        return pixels[spans[0], spans[1]]


def load(root: Path, path: str, largest: int = LARGEST) -> Pixels:
    """A run's image [H, W, 3] of at most `largest` pixels a side. Raises Undecodable (`read_inside`)."""
    image = read_inside(root, path, largest // 2)
    image.thumbnail((largest, largest))
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


def grays(pixels: Pixels) -> Pixels:
    """A picture [H, W, 3] in the four grays of a terminal of 16 colours, its range of brightness spread over them."""
    light = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    low, high = np.percentile(light, [2, 98])
    level = np.clip((light - low) / max(1.0, high - low), 0, 1) * (len(GRAYS) - 1)
    flat: Pixels = np.array(GRAYS, np.uint8)[np.rint(level).astype(int)]
    return np.repeat(flat[..., None], 3, axis=2)


def strips(
    pixels: Pixels, width: int, height: int, base: Style, colors: str | None = "truecolor", quarters: bool = True
) -> list[Strip]:
    """The picture in width x height cells, its proportions kept (a cell is twice as high as wide), in the middle.

    colors: of the terminal, as Rich names them; with "standard" (16 colours) the picture is gray. quarters: whether the
    terminal has blocks of a quarter of a cell, or halves only.
    """
    rows, columns = pixels.shape[:2]
    scale = min(width / columns, 2 * height / rows)
    across, down = max(1, round(columns * scale)), max(1, round(rows * scale / 2))
    across, down = min(across, width), min(down, height)
    size = (2 * across if quarters else across), 2 * down
    small = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
    small = small if quarters else small.repeat(2, axis=1)
    chars, front, back = quadrants(grays(small) if colors == "standard" else small)
    if colors == "standard":
        front, back = _nearest_gray(front), _nearest_gray(back)
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


def _nearest_gray(colors: Pixels) -> Pixels:
    """Each colour as the nearest gray: the mean of a cell's dots need not be one."""
    grays = np.array(GRAYS, np.int16)
    nearest = np.abs(colors.astype(np.int16)[..., None] - grays).argmin(axis=-1)
    found: Pixels = grays[nearest].astype(np.uint8)
    return found
