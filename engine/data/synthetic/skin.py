"""Paint the skin, in colour [3, side, side] and height [side, side]: tone, creases, veins, knuckles, nails, moles."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from engine.data.synthetic.identity import KNUCKLES, Marks, Person
from engine.data.synthetic.pose import MIDDLE, Array, Finger, View

# What each mark multiplies the skin's red, green and blue by where it is strongest.
FOLD = (1.0, 0.72, 0.68)
KNUCKLE = (0.80, 0.62, 0.60)
VEIN = (0.80, 0.93, 1.0)
MOLE = (0.50, 0.40, 0.37)
PALM_PALLOR = np.array([0.94, 0.74, 0.66])
BLOTCH = (0.05, 0.095, 0.11)
REACH = 220.0  # mm of the hand's plane that the blotches cover


def shade(colour: Array, mask: Array, target: tuple[float, ...]) -> None:
    """Multiply [3, ...] `colour` by `target` where the mask is 1, by 1 where it is 0."""
    for channel, value in zip(colour, target, strict=True):
        if value != 1:
            channel *= 1 - mask * np.float32(1 - value)


def cover(colour: Array, mask: Array, target: Array) -> None:
    """Replace [3, ...] `colour` by `target` where the mask is 1."""
    for channel, value in zip(colour, target, strict=True):
        channel += mask * (np.float32(value) - channel)


def tone(person: Person, marks: Marks, view: View, palmar: bool) -> Array:
    """[3, side, side] the skin's colour with its blotches, which lie fixed in the hand's plane."""
    base = person.skin + (person.palm_pallor * (PALM_PALLOR - person.skin) if palmar else 0)
    cells = (len(marks.blotches) - 1) / REACH
    coarse = 4
    x, y = (axis[0, 0] for axis in view.plane((slice(0, 1), slice(0, 1)), coarse))
    step = coarse / view.scale * cells
    cos, sin = np.cos(view.rotation) * step, np.sin(view.rotation) * step
    affine = (cos, -sin, (x + REACH / 2) * cells, -sin, -cos, (y + REACH / 2 - MIDDLE) * cells)
    small = Image.fromarray(marks.blotches).transform(
        (view.side // coarse, view.side // coarse), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC
    )
    blotches = np.asarray(small.resize((view.side, view.side), Image.Resampling.BILINEAR))
    return np.stack(
        [np.float32(part) * (1 + blotches * np.float32(tint)) for part, tint in zip(base, BLOTCH, strict=True)]
    )


def paint_palm(colour: Array, height: Array, marks: Marks, view: View) -> None:
    """Palm lines."""
    lines = _lines(view, marks.creases, marks.crease_strength, 1.4, 0.5)
    shade(colour, lines * np.float32(0.6), KNUCKLE)
    height -= np.float32(1.2) * lines


def paint_back(colour: Array, height: Array, person: Person, marks: Marks, view: View) -> None:
    """Veins, knuckles and tendons of the back of the hand."""
    if marks.vein_strength > 0.05:
        veins = _lines(view, marks.veins, np.ones(len(marks.veins)), 2.8, 1.3)
        shade(colour, veins * np.float32(0.55 * marks.vein_strength), VEIN)
        height += veins * np.float32(0.9 * marks.vein_strength)
    for number in range(4):
        centre = KNUCKLES[number] * person.palm_scale
        box = view.box(centre[None], 17)
        x, y = view.plane(box)
        x, y = x - np.float32(centre[0]), y - np.float32(centre[1])
        bump = np.exp((x * x + y * y) * np.float32(-1 / 55))
        shade(colour[:, *box], bump * np.float32(0.6 * marks.knuckle_shade[number]), KNUCKLE)
        tendon = (
            np.exp(x * x * np.float32(-1 / 6)) * np.clip(y * np.float32(-1 / 12), 0, 1) * np.clip(1.3 + y / 40, 0, 1)
        )
        height[box] += 1.5 * bump + np.float32(0.7 * marks.tendons) * tendon


def _lines(view: View, curves: Array, strengths: Array, width: float, blur: float) -> Array:
    """[side, side] soft lines, in [0, 1]. Width and blur in mm."""
    mask = Image.new("L", (view.side, view.side))
    pen = ImageDraw.Draw(mask)
    for curve, strength in zip(curves, strengths, strict=True):
        points = [(float(x), float(y)) for x, y in view.pixels(curve)]
        fade = np.minimum(1, 3 * np.minimum(np.arange(1, len(points)), np.arange(len(points) - 1, 0, -1)) / len(points))
        for (start, end), share in zip(pairwise(points), fade, strict=True):
            pen.line([start, end], fill=int(255 * strength * share), width=max(1, round(width * view.scale)))
    return np.asarray(mask.filter(ImageFilter.GaussianBlur(blur * view.scale)), np.float32) / 255


def paint_finger(
    colour: Array,
    height: Array,
    finger: Finger,
    number: int,
    nearest: Array,
    person: Person,
    marks: Marks,
    palmar: bool,
) -> None:
    """The finger's roundness, and what lies on it. `nearest` is the distance to the nearest finger, [side, side]."""
    own = ((finger.distance <= nearest[finger.box]) & (finger.distance < 1.5)).astype(np.float32)
    root = finger.stops[1] * (0.35 if number < 4 else 0.7)
    grown = np.clip((finger.along - np.float32(root)) / 22 + np.float32(0.5), 0, 1) * own
    round_off = 1 - np.minimum(finger.across * finger.across, 1)
    patch, bed = colour[:, *finger.box], height[finger.box]
    bed += grown * (finger.half_width * round_off * np.float32(0.9) - bed)
    shade(patch, grown, tuple(person.finger_tone))
    if palmar:
        _creases(patch, finger, number, grown, round_off, own)
    else:
        _joints(patch, finger, number, marks, grown, round_off)
        _nail(patch, finger, number, person, own)


def _ridge(offset: Array, width: float) -> Array:
    ridge: Array = np.exp(offset * offset * np.float32(-1 / width**2))
    return ridge


def _creases(patch: Array, finger: Finger, number: int, grown: Array, round_off: Array, own: Array) -> None:
    bow = finger.along - np.float32(0.8) * round_off
    lines = [(finger.stops[1], 0.6), (finger.stops[1] + 2.6, 0.35), (finger.stops[2], 0.6)]
    if number < 4:
        lines.append((finger.stops[1] * 0.48, 0.6))
    mask = np.zeros_like(bow)
    for line, strength in lines:
        mask += np.float32(strength) * _ridge(bow - np.float32(line), 0.95)
    shade(patch, mask * np.maximum(grown, own * np.float32(0.6)), KNUCKLE)
    pad = _ridge(finger.along - np.float32(finger.tip - 11), 7.0) * round_off * own
    shade(patch, pad * np.float32(0.35), FOLD)


def _joints(patch: Array, finger: Finger, number: int, marks: Marks, grown: Array, round_off: Array) -> None:
    for joint in (0, 1):
        offset = finger.along - np.float32(finger.stops[1 + joint])
        mask = _ridge(offset, 5.5) * (np.float32(0.3) + np.float32(0.7) * round_off)
        mask *= np.float32(0.75 * marks.joint_shade[number, joint])
        for line in marks.joint_lines[number, joint]:
            mask += np.float32(0.22) * _ridge(offset - np.float32(line), 0.55) * round_off
        shade(patch, mask * grown, KNUCKLE)


def _nail(patch: Array, finger: Finger, number: int, person: Person, own: Array) -> None:
    length = person.nail_length * (finger.tip - finger.stops[2]) * (0.9 if number == 4 else 1.0)
    u = (finger.along - np.float32(finger.tip - 0.6 - length / 2)) / np.float32(length / 2)
    v = finger.across / np.float32(person.nail_width)
    uu, vv = u * u, v * v
    inside = 1 - np.sqrt(np.sqrt(uu * uu + vv * vv))
    nail = np.clip(inside * np.float32(length * 0.35), 0, 1) * own
    rim = np.clip(1 - np.abs(inside) * np.float32(length * 0.45), 0, 1) * own
    shade(patch, rim * np.float32(0.55), FOLD)
    if person.polish is not None:
        cover(patch, nail, person.polish)
        patch += np.float32(0.25) * _ridge(v + np.float32(0.25), 0.22) * nail * np.clip(1 - uu, 0, 1)
        return
    cover(patch, np.float32(0.85) * nail, np.clip(person.skin * 0.75 + 0.17 + person.nail_tint, 0, 1))
    moon = np.clip(1 - ((u + np.float32(0.75)) ** 2 / np.float32(0.16) + vv / np.float32(0.35)), 0, 1) * nail
    cover(patch, np.float32(0.5 * person.lunula) * moon, np.full(3, 0.93))
    free_edge = np.clip((u - np.float32(1 - person.nail_overhang / length * 1.5)) * 6, 0, 1) * nail
    cover(patch, np.float32(0.7) * free_edge, np.array([0.95, 0.92, 0.87]))
    patch += np.float32(0.16) * _ridge(v + np.float32(0.25), 0.22) * nail * np.clip(1 - uu, 0, 1)


def paint_moles(colour: Array, person: Person, marks: Marks, posed: list[Finger], view: View) -> None:
    for part, along, across, radius in marks.moles:
        if part == 0:
            place = np.array([across * 40, 10 + along * 95]) * person.palm_scale
        else:
            finger = posed[int(part) - 1]
            at = along * finger.stops[-1]
            bone = int(np.searchsorted(finger.stops[1:-1], at))
            step = finger.joints[bone + 1] - finger.joints[bone]
            step = step / np.hypot(*step)
            side = np.array([step[1], -step[0]]) * across * 0.8 * person.half_widths.mean()
            place = finger.joints[bone] + step * (at - finger.stops[bone]) + side
        box = view.box(place[None], radius * 2)
        x, y = view.plane(box)
        square = ((x - np.float32(place[0])) ** 2 + (y - np.float32(place[1])) ** 2) / np.float32(radius**2)
        shade(colour[:, *box], np.exp(-square * square) * np.float32(0.9), MOLE)
