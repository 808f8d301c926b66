"""The image encoder with its embedding: built, loaded, saved, exported."""

from engine.contract.models import OWN_CONFIGS

__all__ = ["OWN_CONFIGS"]
