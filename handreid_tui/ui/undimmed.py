"""Text that a terminal would dim, in a colour of the theme: dimmed on a light ground it is hard to read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.style import Style


@dataclass(frozen=True)
class Undimmed:
    """`text` with this colour for its dim parts. color: asked for at each drawing, for the theme may change."""

    text: RenderableType
    color: Callable[[], str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        plain = Style(dim=False, color=self.color())
        for segment in console.render(self.text, options):
            style = segment.style
            yield Segment(segment.text, style + plain, segment.control) if style and style.dim else segment
