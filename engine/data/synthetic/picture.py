"""Draw one picture: parts, skin, light, background, sleeve, camera."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from engine.data.synthetic.identity import Marks, Person
from engine.data.synthetic.pose import Array, View, fingers, palm, smooth_min
from engine.data.synthetic.scene import Scene
from engine.data.synthetic.skin import paint_back, paint_finger, paint_moles, paint_palm, tone

OVERSAMPLING = 1.5


def draw(
    person: Person,
    marks: Marks,
    scene: Scene,
    size: int,
    palmar: bool = False,
    mirror: bool = False,
    oversampling: float = OVERSAMPLING,
) -> Image.Image:
    """The picture, `size` x `size` pixels, RGB. The thumb is on the left; `mirror` puts it on the right."""
    side = -(-int(size * oversampling) // 4) * 4
    right, down = (0.5 + scene.position) * side
    view = View(side, side * scene.scale / 190, scene.rotation, (float(right), float(down)))
    posed = fingers(person, scene, view)
    nearest = np.full((side, side), 1e3, np.float32)
    for finger in posed:
        np.minimum(nearest[finger.box], finger.distance, out=nearest[finger.box])
    distance = smooth_min(palm(person, posed, view), nearest, 5.0)

    depth = np.clip(1 + distance / 11, 0, 1)
    height = 9 * (1 - depth * depth)
    colour = tone(person, marks, view, palmar)
    if palmar:
        paint_palm(colour, height, marks, view)
    else:
        paint_back(colour, height, person, marks, view)
    for number, finger in enumerate(posed):
        paint_finger(colour, height, finger, number, nearest, person, marks, palmar)
    paint_moles(colour, person, marks, posed, view)

    opacity = np.clip(np.float32(0.5) - distance * np.float32(view.scale), 0, 1)
    picture = _background(opacity, scene, view)
    picture += opacity * (_lit(colour, height, distance, scene, view) - picture)
    if scene.sleeve is not None:
        _add_sleeve(picture, person, scene.sleeve, scene, view)
    return _photograph(picture, scene, size, mirror)


def _lit(colour: Array, height: Array, distance: Array, scene: Scene, view: View) -> Array:
    """Directed light on the height's slopes; darker and redder skin where it turns away."""
    right, up, ahead = scene.light.astype(np.float32)
    slope_x, slope_y = np.zeros_like(height), np.zeros_like(height)
    np.multiply(height[:, 2:] - height[:, :-2], np.float32(view.scale / 2), out=slope_x[:, 1:-1])
    np.multiply(height[:-2] - height[2:], np.float32(view.scale / 2), out=slope_y[1:-1])
    facing = (ahead - slope_x * right - slope_y * up) / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    directed = np.float32(scene.contrast / max(float(ahead), 0.6))
    edge = np.clip(1 + distance * np.float32(1 / 3.5), 0, 1)
    light = (np.float32(1 - scene.contrast) + directed * np.maximum(facing, 0)) * (1 - np.float32(0.22) * edge * edge)
    light = np.clip(light, 0.15, 1.3)
    red, green, blue = scene.exposure.astype(np.float32)
    colour[0] *= light * red
    light *= np.float32(0.8) + np.float32(0.2) * np.minimum(light, 1)
    colour[1] *= light * green
    colour[2] *= light * blue
    return colour


def _background(opacity: Array, scene: Scene, view: View) -> Array:
    """[3, side, side] a plain backdrop with the hand's soft shadow on it."""
    coarse, small_side = 4, view.side // 4
    shift = -scene.light[:2] * scene.shadow_offset * view.scale / coarse
    small = Image.fromarray((opacity[::coarse, ::coarse] * 255).astype(np.uint8))
    small = small.transform((small_side, small_side), Image.Transform.AFFINE, (1, 0, -shift[0], 0, 1, shift[1]))
    small = small.filter(ImageFilter.GaussianBlur((2 + scene.shadow_offset) * view.scale / coarse * 0.7))
    ramp = np.linspace(-1, 1, view.side, dtype=np.float32)
    across, down = scene.gradient.astype(np.float32)
    level = 1 + ramp * across + ramp[:, None] * down
    shadow = np.asarray(small.resize((view.side, view.side), Image.Resampling.BILINEAR), np.float32)
    level *= 1 - shadow * np.float32(scene.shadow / 255)
    background: Array = np.clip(level * scene.background.astype(np.float32)[:, None, None], 0, 1)
    return background


def _add_sleeve(picture: Array, person: Person, edge: float, scene: Scene, view: View) -> None:
    x, y = view.plane()
    x, y = x / np.float32(person.wrist_half_width + 7), y - np.float32(edge)
    beyond = np.maximum((np.abs(x) - 1) * np.float32(person.wrist_half_width + 7), y - 3 * x * x)
    opacity = np.clip(np.float32(0.5) - beyond * np.float32(view.scale), 0, 1)
    cloth = 1 - 0.5 * np.minimum(x * x, 1) + 0.08 * np.sin(12 * x + 0.12 * y)
    cloth *= 1 - 0.35 * np.exp(-((y + 3) ** 2) / 3)
    picture += opacity * (cloth * scene.sleeve_colour.astype(np.float32)[:, None, None] - picture)


def _photograph(picture: Array, scene: Scene, size: int, mirror: bool) -> Image.Image:
    """Reduce to `size`, blur and add the sensor's noise."""
    pixels = (np.clip(picture, 0, 1) * 255 + np.float32(0.5)).astype(np.uint8).transpose(1, 2, 0)
    image = Image.fromarray(np.ascontiguousarray(pixels[:, ::-1] if mirror else pixels))
    image = image.resize((size, size), Image.Resampling.BILINEAR)
    image = image.filter(ImageFilter.GaussianBlur(scene.blur * size / 128))
    grain = np.random.default_rng(scene.grain_seed).standard_normal((size, size, 3), np.float32)
    noisy = np.asarray(image, np.float32) + grain * np.float32(255 * scene.noise)
    return Image.fromarray(np.clip(noisy + np.float32(0.5), 0, 255).astype(np.uint8))
