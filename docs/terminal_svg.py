"""Draw a running Textual app as SVG that looks alike everywhere: braille, blocks and lines as shapes, no web font."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from rich.segment import Segment
from rich.style import Style
from textual.app import App

WIDTH, HEIGHT, SIZE = 8.4, 18.0, 14
ARMS = {  # left, right, up, down
    "─": "lr", "│": "ud", "┌": "rd", "┐": "ld", "└": "ru", "┘": "lu", "├": "rud", "┤": "lud", "┬": "lrd", "┴": "lru",
    "┼": "lrud", "━": "lr", "╸": "l", "╺": "r",
}  # fmt: skip
CURVES = {"╭": "rd", "╮": "ld", "╰": "ru", "╯": "lu"}
QUADRANTS = " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"
BLOCKS = {  # x, y, width, height in cells
    "█": (0, 0, 1, 1), "▀": (0, 0, 1, 0.5), "▄": (0, 0.5, 1, 0.5), "▌": (0, 0, 0.5, 1), "▐": (0.5, 0, 0.5, 1),
    "▏": (0, 0, 0.125, 1), "▎": (0, 0, 0.25, 1), "▍": (0, 0, 0.375, 1), "▋": (0, 0, 0.625, 1), "▊": (0, 0, 0.75, 1),
    "▉": (0, 0, 0.875, 1), "▔": (0, 0, 1, 0.125), "▁": (0, 0.875, 1, 0.125), "▂": (0, 0.75, 1, 0.25),
    "▃": (0, 0.625, 1, 0.375), "▅": (0, 0.375, 1, 0.625), "▆": (0, 0.25, 1, 0.75), "▇": (0, 0.125, 1, 0.875),
    "▕": (0.875, 0, 0.125, 1),
}  # fmt: skip


def app_svg(app: App[Any]) -> str:
    """The screen of `app` as it is now."""
    strips = app.screen._compositor.render_strips()
    width, height = app.size.width * WIDTH, app.size.height * HEIGHT
    background = app.current_theme.background or "#000000"
    body = "\n".join(part for row, strip in enumerate(strips) for part in _row(row, strip, background))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-12 -12 {width + 24:.0f} {height + 24:.0f}" '
        f'width="{width + 24:.0f}" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="{SIZE}">\n'
        f'<rect x="-12" y="-12" width="{width + 24:.0f}" height="{height + 24:.0f}" rx="8" fill="{background}"/>\n'
        f"{body}\n</svg>\n"
    )


def _row(row: int, strip: Iterable[Segment], background: str) -> Iterable[str]:
    column, top = 0, row * HEIGHT
    for segment in strip:
        style = segment.style or Style()
        front, back = _colors(style, background)
        width = segment.cell_length
        left = column * WIDTH
        if back != background:
            yield _box(left, top, width * WIDTH + 0.3, HEIGHT + 0.3, back)
        yield from _glyphs(segment.text, left, top, front, style)
        column += width


def _box(x: float, y: float, width: float, height: float, fill: str) -> str:
    size = f'width="{width:.1f}" height="{height:.1f}"'
    return f'<rect shape-rendering="crispEdges" x="{x:.1f}" y="{y:.1f}" {size} fill="{fill}"/>'


def _colors(style: Style, background: str) -> tuple[str, str]:
    front = style.color.get_truecolor().hex if style.color else "#808080"
    back = style.bgcolor.get_truecolor().hex if style.bgcolor and not style.bgcolor.is_default else background
    return (back, front) if style.reverse else (front, back)


def _glyphs(text: str, left: float, top: float, color: str, style: Style) -> Iterable[str]:
    run, run_left = "", left
    shapes: list[str] = []
    blocks: list[str] = []
    for char in text + "\0":
        shape = _shape(char, left, top)
        block = BLOCKS.get(char)
        quarters = 0 if block or char in " \0" else max(0, QUADRANTS.find(char))
        if shape or block or quarters or char in " \0":
            if run.strip():
                weight = ' font-weight="bold"' if style.bold else ""
                length = len(run) * WIDTH
                yield (
                    f'<text x="{run_left:.1f}" y="{top + 13.5:.1f}" fill="{color}"{weight} textLength="{length:.1f}" '
                    f'xml:space="preserve">{escape(run)}</text>'
                )
            run = ""
            shapes += [shape] if shape else []
            parts = [block] if block else [(q % 2 / 2, q // 2 / 2, 0.5, 0.5) for q in range(4) if quarters >> q & 1]
            for x, y, width, height in parts:
                box = left + x * WIDTH, top + y * HEIGHT, width * WIDTH + 0.2, height * HEIGHT + 0.2
                blocks.append(_box(*box, color))
        else:
            if not run:
                run_left = left
            run += char
        left += WIDTH
    yield from blocks
    lines = "".join(shape for shape in shapes if shape.startswith("M"))
    dots = "".join(shape for shape in shapes if shape.startswith("m"))
    if lines:
        yield f'<path d="{lines}" fill="none" stroke="{color}" stroke-width="1.1"/>'
    if dots:
        yield f'<path d="{dots.replace("m", "M")}" stroke="{color}" stroke-width="2.4" stroke-linecap="round"/>'


def _shape(char: str, left: float, top: float) -> str:
    """Path of a line character (begins with M) or of braille dots (begins with m)."""
    middle, centre = left + WIDTH / 2, top + HEIGHT / 2
    if 0x2800 < ord(char) < 0x2900:
        bits = ord(char) - 0x2800
        places = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)]
        dots = [places[bit] for bit in range(8) if bits >> bit & 1]
        return "".join(f"m{left + (x + 0.5) * WIDTH / 2:.1f} {top + (y + 0.5) * HEIGHT / 4:.1f}h0" for x, y in dots)
    if char == "┈":
        return "".join(f"M{left + x:.1f} {centre:.1f}h1" for x in (0.6, 2.7, 4.8, 6.9))
    ends = {"l": (left, centre), "r": (left + WIDTH, centre), "u": (middle, top), "d": (middle, top + HEIGHT)}
    if char in CURVES:
        (x0, y0), (x1, y1) = (ends[arm] for arm in CURVES[char])
        return f"M{x0:.1f} {y0:.1f}Q{middle:.1f} {centre:.1f} {x1:.1f} {y1:.1f}"
    return "".join(f"M{middle:.1f} {centre:.1f}L{ends[arm][0]:.1f} {ends[arm][1]:.1f}" for arm in ARMS.get(char, ""))
