"""Asking before something that is hard to take back."""

from __future__ import annotations

import sys

from engine.contract.errors import UserError


def agree(question: str, yes: bool, otherwise: str) -> None:
    """Ask on the terminal. Raises UserError where there is none, and with `otherwise` where the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError(f"{question} There is no terminal to ask on: use --yes.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UserError(otherwise)
