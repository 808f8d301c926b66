"""Tags as a user enters them: words, so that a line of them can be taken apart again."""

from __future__ import annotations

from collections.abc import Iterable

from engine.contract.errors import UserError


def check_tags(tags: Iterable[str]) -> None:
    """Raises UserError if one of them is no word."""
    for tag in tags:
        if tag.replace(",", " ").split() != [tag] or not tag.isprintable():
            raise UserError(f"A tag is one word without spaces or commas, but got {tag!r}.")
