"""Where a posed hand's parts lie in a picture: distances to outlines, and coordinates along and across each finger.

Distances in mm, negative inside. A rounded outline from distances stays smooth at any picture size.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image

from engine.data.synthetic.identity import KNUCKLES, THUMB_BASE, Person
from engine.data.synthetic.scene import Scene

Array = np.ndarray
Box = tuple[slice, slice]  # rows and columns

MIDDLE = 92.0  # mm above the wrist: the point of the hand that `Scene.position` places


@dataclass(frozen=True)
class View:
    """The similarity from the hand's plane (mm, y up) to pixels (y down)."""

    side: int  # of the picture, pixels
    scale: float  # pixels per mm
    rotation: float
    centre: tuple[float, float]

    def pixels(self, points: Array) -> Array:
        """[..., 2] mm to [..., 2] pixels."""
        x, y = points[..., 0], points[..., 1] - MIDDLE
        cos, sin = np.cos(self.rotation) * self.scale, np.sin(self.rotation) * self.scale
        return np.stack([self.centre[0] + x * cos - y * sin, self.centre[1] - x * sin - y * cos], -1)

    def plane(self, box: Box | None = None, step: int = 1) -> tuple[Array, Array]:
        """x and y in mm of every `step`-th pixel in `box` (the whole picture), each [rows, columns]."""
        down, right = box or (slice(0, self.side), slice(0, self.side))
        rows = np.arange(down.start, down.stop, step, dtype=np.float32) + np.float32(0.5 * step - self.centre[1])
        columns = np.arange(right.start, right.stop, step, dtype=np.float32) + np.float32(0.5 * step - self.centre[0])
        cos, sin = np.float32(np.cos(self.rotation) / self.scale), np.float32(np.sin(self.rotation) / self.scale)
        x = (columns * cos)[None, :] - (rows * sin)[:, None]
        y = np.float32(MIDDLE) - (columns * sin)[None, :] - (rows * cos)[:, None]
        return x, y

    def box(self, points: Array, margin: float) -> Box:
        """The part of the picture within `margin` mm of the points' bounding box."""
        pixels, margin = self.pixels(points), margin * self.scale
        low = np.clip(np.floor(pixels.min(0) - margin), 0, self.side).astype(int)
        high = np.clip(np.ceil(pixels.max(0) + margin), 0, self.side).astype(int)
        return slice(low[1], high[1]), slice(low[0], high[0])


@dataclass(frozen=True)
class Finger:
    """A posed finger or thumb; the arrays cover `box`."""

    joints: Array  # [4, 2] knuckle, two joints, middle of the rounded tip; mm
    stops: Array  # [4] the same, as mm along the finger
    tip: float  # the fingertip, mm along the finger
    box: Box
    along: Array  # mm from the knuckle
    across: Array  # -1 and 1 are the edges
    half_width: Array  # mm
    distance: Array


def fingers(person: Person, scene: Scene, view: View) -> list[Finger]:
    """Index, middle, ring and little finger, and the thumb."""
    posed = []
    for number in range(4):
        turns = scene.fingers[number] + np.cumsum([0.0, *(person.lean[number] + scene.curl[number])])
        lengths = person.phalanges[number] * scene.bend[number]
        start, width = KNUCKLES[number] * person.palm_scale, person.half_widths[number]
        posed.append(_finger(view, start, lengths, turns, width, person.taper, person.joint_bulge))
    start, width, taper = THUMB_BASE * person.palm_scale, person.thumb_half_width, 0.45 + 0.55 * person.taper
    posed.append(_finger(view, start, person.thumb, scene.thumb, width, taper, person.joint_bulge))
    return posed


def _finger(view: View, start: Array, lengths: Array, turns: Array, width: float, taper: float, bulge: float) -> Finger:
    tip_width = width * taper * 0.9
    lengths = lengths - np.array([0, 0, tip_width])
    steps = lengths[:, None] * np.column_stack([-np.sin(turns), np.cos(turns)])
    joints = np.vstack([start, start + np.cumsum(steps, 0)])
    stops = np.concatenate([[0], np.cumsum(lengths)])
    box = view.box(joints, width * 1.2 + 3)
    x, y = view.plane(box)

    nearest = np.full(x.shape, np.inf, np.float32)
    along, across = np.zeros_like(nearest), np.zeros_like(nearest)
    for bone in range(3):
        length, (right, up) = np.float32(lengths[bone]), (steps[bone] / lengths[bone]).astype(np.float32)
        dx, dy = x - np.float32(joints[bone, 0]), y - np.float32(joints[bone, 1])
        t, v = dx * right + dy * up, dx * up - dy * right
        beyond = t - np.clip(t, 0, length)
        square = v * v + beyond * beyond
        closer = square < nearest
        np.copyto(nearest, square, where=closer)
        np.copyto(across, v, where=closer)
        np.copyto(along, (t if bone == 2 else np.minimum(t, length)) + np.float32(stops[bone]), where=closer)
    profile = _profile(stops, width, taper, bulge)
    half_width = profile[
        np.clip(along * np.float32((len(profile) - 1) / stops[-1]), 0, len(profile) - 1).astype(np.intp)
    ]
    distance = np.sqrt(nearest) - half_width
    return Finger(joints, stops, float(stops[-1] + tip_width), box, along, across / half_width, half_width, distance)


def _profile(stops: Array, width: float, taper: float, bulge: float) -> Array:
    """[128] half-width from the knuckle to the middle of the tip: thinner towards the tip, thicker at the joints."""
    at = np.linspace(0, stops[-1], 128)
    profile: Array = width * np.interp(
        at / stops[-1], [0, 0.5, 0.85, 1], [1, 0.5 + 0.5 * taper, taper * 1.02, taper * 0.9]
    )
    for joint, spread, share in ((stops[1], 6.0, 1.0), (stops[2], 4.5, 0.6)):
        profile *= 1 + bulge * share * np.exp(-(((at - joint) / spread) ** 2))
    return profile.astype(np.float32)


def palm(person: Person, posed: list[Finger], view: View) -> Array:
    """[side, side] distance to the palm with wrist and forearm: bones, heels and webs, smoothly joined."""
    x, y = view.plane(step=2)  # it is smooth: half the resolution will do
    scale, wrist, thumb = person.palm_scale, person.wrist_half_width, posed[4].joints

    def ahead(finger: Finger, share: float) -> Array:
        place: Array = finger.joints[0] + (finger.joints[1] - finger.joints[0]) * share
        return place

    bars = [
        (np.array([0.0, 12.0]), np.array([0.0, -45.0]), wrist, wrist * 0.98),
        (np.array([0.0, -45.0]), np.array([0.0, -300.0]), wrist * 0.98, wrist * 1.3),
        (np.array([19.0, 16.0]) * scale, np.array([27.0, 58.0]) * scale, 15.0, 13.0),
        (thumb[0], thumb[1], 15.0, person.thumb_half_width),
    ]
    for finger, width in zip(posed[:4], person.half_widths, strict=True):
        bars.append((np.array([finger.joints[0, 0] * 0.7, 10.0]), ahead(finger, 0.12), 13.0, width * 1.08))
    distance = _bar(x, y, *bars[0])
    for bar in bars[1:]:
        distance = smooth_min(distance, _bar(x, y, *bar), 11.0)
    for one, other in pairwise(posed[:4]):
        distance = smooth_min(distance, _bar(x, y, ahead(one, 0.36), ahead(other, 0.36), 3.0, 3.0), 6.0)
    web = _bar(x, y, thumb[0] * 0.3 + thumb[1] * 0.7, KNUCKLES[0] * scale * 0.78, 6.0, 8.0)
    distance = smooth_min(distance, web, 14.0)
    return np.asarray(Image.fromarray(distance).resize((view.side, view.side), Image.Resampling.BILINEAR))


def _bar(x: Array, y: Array, start: Array, end: Array, half_width: float, end_half_width: float) -> Array:
    """Distance to a bar with round ends."""
    step = (end - start).astype(np.float32)
    dx, dy = x - np.float32(start[0]), y - np.float32(start[1])
    t = np.clip((dx * step[0] + dy * step[1]) / (step @ step), 0, 1)
    dx -= t * step[0]
    dy -= t * step[1]
    distance: Array = np.sqrt(dx * dx + dy * dy) - (
        np.float32(half_width) + t * np.float32(end_half_width - half_width)
    )
    return distance


def smooth_min(a: Array, b: Array, reach: float) -> Array:
    """The minimum with a fillet where both are within `reach` of each other (the polynomial smooth minimum)."""
    blend: Array = np.maximum(np.float32(reach) - np.abs(a - b), 0)
    smooth: Array = np.minimum(a, b) - blend * blend * np.float32(0.25 / reach)
    return smooth
