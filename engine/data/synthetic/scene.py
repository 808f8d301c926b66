"""What belongs to one picture of a hand: pose, light, background, sleeve, camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.data.synthetic.identity import ASPECTS

REST = np.radians([7.5, 1.5, -4.5, -12.0])  # directions of the relaxed fingers, counter-clockwise from straight up


@dataclass(frozen=True)
class Scene:
    """One picture. Angles in radians, lengths in hand millimetres, lengths of the picture as fractions of its side."""

    rotation: float
    scale: float  # the picture's side over 190 mm of hand
    position: np.ndarray  # [2] of the middle of the hand, right and down
    fingers: np.ndarray  # [4] direction of each finger
    bend: np.ndarray  # [4, 3] foreshortening of each phalanx
    curl: np.ndarray  # [4] sideways bend at the joints
    thumb: np.ndarray  # [3] direction of metacarpal, proximal and distal phalanx
    light: np.ndarray  # [3] unit vector towards the lamp
    contrast: float  # share of the directed light
    exposure: np.ndarray  # [3] per channel
    background: np.ndarray  # [3]
    gradient: np.ndarray  # [2] change of the background across and down the picture
    shadow: float
    shadow_offset: float
    sleeve: float | None  # its edge, mm above the wrist; None without
    sleeve_colour: np.ndarray  # [3]
    blur: float
    noise: float
    grain_seed: int


def scene(seed: int, number: int, aspect: str, index: int) -> Scene:
    """Picture `index` of one side of a hand: a pure function of the arguments."""
    rng = np.random.default_rng([seed, number, ASPECTS.index(aspect), index, 13])
    spread = rng.uniform(0.6, 0.9)
    abduction = rng.uniform(0.46, 0.64)
    azimuth, height = rng.uniform(0.2, 0.8) * np.pi, rng.uniform(0.6, 1.3)
    grey = rng.uniform(0.94, 1.0) if rng.random() < 0.9 else rng.uniform(0.80, 0.94)
    return Scene(
        rotation=np.radians(rng.uniform(-5, 5)),
        scale=rng.uniform(0.765, 0.815),
        position=rng.uniform(-1, 1, 2) * (0.03, 0.015) + (0, 0.09),
        fingers=REST * spread + rng.normal(0, 0.02, 4),
        bend=1 - np.abs(rng.normal(0, 0.02, (4, 3))) - abs(rng.normal(0, 0.015)),
        curl=rng.normal(0, 0.02, 4),
        thumb=abduction + np.array([0.18, -0.05, -0.12]) + rng.normal(0, 0.04, 3),
        light=np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)]),
        contrast=rng.uniform(0.2, 0.35),
        exposure=rng.uniform(0.98, 1.02) * rng.normal(1, 0.003, 3),
        background=np.clip(grey * (1 + rng.normal(0, 0.012, 3)), 0, 1),
        gradient=rng.normal(0, 0.02, 2),
        shadow=rng.uniform(0.05, 0.4),
        shadow_offset=rng.uniform(1, 7),
        sleeve=rng.uniform(-16, 6) if rng.random() < 0.15 else None,
        sleeve_colour=rng.uniform(0.05, 0.8) * rng.uniform(0.6, 1, 3),
        blur=rng.uniform(0.0, 0.5),
        noise=rng.uniform(0.003, 0.02),
        grain_seed=int(rng.integers(2**31)),
    )
