"""The Hugging Face hub, from which open_clip fetches pretrained weights: can it be reached?"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit


def hub_reachable(seconds: float = 3.0) -> bool:
    """Whether the hub answers at all. Its own retries take most of a minute to find out that it does not."""
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes"):
        return False
    if os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy"):
        return True
    address = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        with socket.create_connection((address.hostname or "", port), timeout=seconds):
            return True
    except OSError:
        return False


def nothing_to_fetch() -> bool:
    """Whether no weights can be had at all: the hub does not answer, and no model of it is in its cache."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    folder = Path(os.environ.get("HF_HUB_CACHE") or Path(home, "hub")).expanduser()
    return not any(folder.glob("models--*")) and not hub_reachable()


def go_offline() -> None:
    """Let the hub's library look in its cache only, in this process."""
    import huggingface_hub.constants

    huggingface_hub.constants.HF_HUB_OFFLINE = True
