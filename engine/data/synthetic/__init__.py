"""Procedurally drawn hands, the data set that comes with the program, in the layout of 11k Hands. No torch here."""

from engine.data.synthetic.folder import VERSION, demo_folder, ensure, write

__all__ = ["VERSION", "demo_folder", "ensure", "write"]
