"""A synthetic person's hand: bones, skin and marks, everything that belongs to the identity. Lengths in millimetres.

The hand lies in a plane: the wrist at the origin, fingers up (y), thumb at negative x, as a right hand's back is seen.
Mean lengths are those of an adult hand, 190 mm from wrist to middle fingertip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ASPECTS = ("dorsal right", "dorsal left", "palmar right", "palmar left")

# Index, middle, ring, little: knuckle (MCP joint); proximal, middle and distal phalanx; half-width at the base.
KNUCKLES = np.array([(-24.0, 86.0), (-4.5, 90.0), (14.0, 84.5), (30.5, 74.5)])
PHALANGES = np.array([(44.0, 25.5, 22.5), (48.5, 29.5, 23.5), (44.5, 28.0, 23.5), (34.0, 20.5, 20.5)])
HALF_WIDTHS = np.array([9.3, 9.5, 8.9, 7.8])
THUMB = np.array([43.0, 31.0, 28.0])  # metacarpal, proximal and distal phalanx
THUMB_BASE = np.array([-19.0, 24.0])
THUMB_HALF_WIDTH = 11.0

# Skin from very fair to dark, red, green and blue in [0, 1].
SKIN_TONES = np.array(
    [(0.95, 0.80, 0.72), (0.89, 0.70, 0.58), (0.78, 0.56, 0.42), (0.62, 0.42, 0.29), (0.40, 0.26, 0.18)]
)
POLISH = np.array([(0.75, 0.10, 0.16), (0.42, 0.07, 0.20), (0.88, 0.45, 0.55), (0.16, 0.17, 0.30), (0.85, 0.74, 0.66)])
SKIN_NAMES = ("very fair", "fair", "medium", "dark")


@dataclass(frozen=True)
class Person:
    """What both hands of an identity share."""

    number: int
    age: int
    gender: str
    skin_name: str
    skin: np.ndarray  # [3] red, green, blue
    palm_pallor: float  # how much lighter the palm is than the back
    palm_scale: np.ndarray  # [2] breadth and length of the palm against the mean
    phalanges: np.ndarray  # [4, 3]
    half_widths: np.ndarray  # [4] at the base
    taper: float  # half-width at the fingertip as a fraction of the base's
    joint_bulge: float  # how far joints stand out, as a fraction of the half-width
    lean: np.ndarray  # [4, 2] sideways angle at the PIP and DIP joint, radians
    thumb: np.ndarray  # [3]
    thumb_half_width: float
    wrist_half_width: float
    nail_length: float  # as a fraction of the distal phalanx
    nail_width: float  # as a fraction of the finger's width
    nail_overhang: float  # free edge past the fingertip, mm
    nail_tint: np.ndarray  # [3] added to the skin
    lunula: float  # strength of the white half-moon
    polish: np.ndarray | None  # [3] colour of the nail polish
    finger_tone: np.ndarray  # [3] the fingers' colour against the hand's


@dataclass(frozen=True)
class Marks:
    """What one side of one hand has of its own: creases, veins, moles, blotches."""

    joint_shade: np.ndarray  # [5, 2] darkness of the skin over PIP and DIP joint, thumb last
    joint_lines: np.ndarray  # [5, 2, 4] offsets of the wrinkles along the finger, mm
    knuckle_shade: np.ndarray  # [4] darkness over the MCP joints
    tendons: float
    vein_strength: float
    veins: np.ndarray  # [n, points, 2] polylines in the palm's plane
    crease_strength: np.ndarray  # [n]
    creases: np.ndarray  # [n, points, 2] polylines on the palm
    moles: np.ndarray  # [n, 4] part (0 palm, 1-4 fingers, 5 thumb), along, across in [-1, 1], radius in mm
    blotches: np.ndarray  # [g, g] smooth variation of the skin's tone


def person(seed: int, number: int) -> Person:
    """The person `number`: a pure function of both arguments."""
    rng = np.random.default_rng([seed, number, 11])
    female = rng.random() < 0.5
    size = rng.normal(0.965 if female else 1.035, 0.025)
    slender = rng.normal(0.95 if female else 1.05, 0.10)
    tone = rng.uniform(0, 3.4)
    skin = np.array([np.interp(tone, range(5), SKIN_TONES[:, channel]) for channel in range(3)])
    skin = skin * (1 + np.clip(rng.normal(0, 1, 3), -1.5, 1.5) * (0.03, 0.06, 0.09))
    overhang = max(0.0, rng.normal(2.2, 1.6)) if female else max(0.0, rng.normal(0.0, 0.5))
    return Person(
        number=number,
        age=int(np.clip(rng.gamma(2.0, 4.0) + 18, 18, 75)),
        gender="female" if female else "male",
        skin_name=SKIN_NAMES[min(int(tone), 3)],
        skin=np.clip(skin, 0, 1),
        palm_pallor=rng.uniform(0.15, 0.55),
        palm_scale=size * np.array([slender**0.6 * rng.normal(1, 0.03), rng.normal(1, 0.05)]),
        phalanges=size * PHALANGES * rng.normal(1, 0.06) * rng.normal(1, 0.05, (4, 1)) * rng.normal(1, 0.03, (4, 3)),
        half_widths=size * slender * HALF_WIDTHS * rng.normal(1, 0.03, 4),
        taper=rng.uniform(0.60, 0.86),
        joint_bulge=rng.uniform(0.0, 0.14),
        lean=rng.normal(0, 0.045, (4, 2)) + np.array([(0.03, 0.03), (0, 0), (-0.02, -0.02), (-0.05, -0.06)]),
        thumb=size * THUMB * rng.normal(1, 0.06, 3),
        thumb_half_width=size * slender**0.8 * THUMB_HALF_WIDTH * rng.normal(1, 0.05),
        wrist_half_width=size * slender**0.6 * rng.normal(29, 1.5),
        nail_length=rng.uniform(0.40, 0.70),
        nail_width=rng.uniform(0.56, 0.88),
        nail_overhang=min(overhang, 5.0),
        nail_tint=np.array([0.08, 0.04, 0.06]) + rng.normal(0, 0.06) + rng.normal(0, 0.06, 3) * (1.0, 0.4, 0.8),
        lunula=rng.uniform(0, 1),
        polish=POLISH[rng.integers(len(POLISH))] * rng.uniform(0.8, 1.1) if female and rng.random() < 0.3 else None,
        finger_tone=1 - abs(rng.normal(0, 0.06)) - abs(rng.normal(0, 0.09)) * np.array([0.0, 1.0, 0.85]),
    )


def marks(seed: int, number: int, aspect: str) -> Marks:
    """The marks of one side of a hand: a pure function of the arguments; the four aspects differ."""
    rng = np.random.default_rng([seed, number, ASPECTS.index(aspect), 12])
    moles = max(0, int(rng.poisson(2.5)))
    return Marks(
        joint_shade=rng.uniform(0.0, 1.0) * rng.uniform(0.2, 1, (5, 2)),
        joint_lines=np.sort(rng.normal(0, 2.2, (5, 2, 4)), axis=2),
        knuckle_shade=rng.uniform(0.0, 1.0) * rng.uniform(0.2, 1, 4),
        tendons=rng.uniform(0, 1),
        vein_strength=rng.uniform(0, 1),
        veins=_veins(rng),
        crease_strength=rng.uniform(0.35, 1.0, 5),
        creases=_creases(rng),
        moles=np.column_stack(
            [
                rng.choice(6, moles, p=[0.5, 0.1, 0.1, 0.1, 0.1, 0.1]),
                rng.uniform(0.1, 0.75, moles),
                rng.uniform(-0.7, 0.7, moles),
                rng.uniform(0.9, 2.4, moles),
            ]
        ),
        blotches=rng.standard_normal((7, 7), np.float32),
    )


def _veins(rng: np.random.Generator) -> np.ndarray:
    """Two or three trunks from the wrist towards the gaps between the knuckles, and one that crosses."""
    trunks = []
    for column in rng.choice([-14.0, 5.0, 22.0], size=3, replace=False):
        start = rng.uniform(-16, 18)
        along = np.linspace(0, 1, 9)
        sway = np.cumsum(rng.normal(0, 1.7, 9))
        trunks.append(np.column_stack([start + (column - start) * along**0.8 + sway, -6 + 86 * along]))
    bridge = np.linspace(0, 1, 9)
    low, high = trunks[0][rng.integers(3, 6)], trunks[1][rng.integers(4, 8)]
    trunks.append(low + (high - low) * bridge[:, None] + rng.normal(0, 0.8, (9, 2)))
    return np.array(trunks)


def _creases(rng: np.random.Generator) -> np.ndarray:
    """Heart, head and life line, and two lesser ones: quadratic curves through jittered control points."""
    controls = np.array(
        [
            [(38, 60), (8, 58), (-14, 90)],
            [(-32, 68), (0, 68), (30, 36)],
            [(-32, 66), (8, 60), (-6, 6)],
            [(2, 14), (6, 46), (4, 74)],
            [(24, 20), (30, 44), (33, 60)],
        ],
        dtype=float,
    ) + rng.normal(0, 4.0, (5, 3, 2))
    t = np.linspace(0, 1, 12)[:, None]
    start, middle, end = (controls[:, index, None] for index in range(3))
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
