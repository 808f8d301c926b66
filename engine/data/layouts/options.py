"""What a user may set about reading a data set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """`seed` draws the training identities of layouts without a division of their own.

    `identity_pattern`: a regular expression whose group is the identity; see `layouts.names`.
    """

    seed: int = 0
    identity_pattern: str | None = None
