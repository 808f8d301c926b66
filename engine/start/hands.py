"""Draws the hands that the start is trained on, on all cores, into one array on the disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from engine.contract.start import StartRecipe
from engine.data.synthetic.identity import ASPECTS, marks, person
from engine.data.synthetic.picture import draw
from engine.start.scenes import hard_scene

WORTH_A_PROCESS = 20  # identities: they take about as long as starting one

Heard = Callable[[float], None]  # hears of the share that is done; may raise to stop the work


def draw_hands(file: Path, recipe: StartRecipe, heard: Heard) -> np.ndarray:
    """The images [identities, images, S, S, 3] uint8, in `file`: a function of the recipe alone."""
    shape = (recipe.identities, recipe.images, recipe.drawn, recipe.drawn, 3)
    np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape).flush()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = min(cores, 1 + recipe.identities // WORTH_A_PROCESS)
    command = [sys.executable, "-m", "engine.start", str(file.absolute()), json.dumps(asdict(recipe))]
    helpers = [_start([*command, f"{share}/{shares}"]) for share in range(1, shares)]
    try:
        draw_share(file, recipe, 0, shares, heard)
        for share, helper in enumerate(helpers, 1):
            while helper.poll() is None:
                heard(1.0)
                _wait(helper)
            if helper.returncode != 0:
                draw_share(file, recipe, share, shares, heard)  # what failed there fails here too, with its reason
    finally:
        for helper in helpers:
            helper.kill()
            helper.wait()
    drawn: np.ndarray = np.load(file, mmap_mode="r")
    return drawn


def draw_share(file: Path, recipe: StartRecipe, share: int, shares: int, heard: Heard) -> None:
    """Draw every `shares`-th identity, from number `share`, into `file`."""
    array = np.load(file, mmap_mode="r+")
    for number in range(share, recipe.identities, shares):
        rng = np.random.default_rng([recipe.seed, number])
        aspect = ASPECTS[rng.integers(len(ASPECTS))]
        who, its_marks = person(recipe.seed, number), marks(recipe.seed, number, aspect)
        palmar, mirror = aspect.startswith("palmar"), aspect in ("dorsal left", "palmar right")
        for image in range(recipe.images):
            picture = draw(who, its_marks, hard_scene(rng), recipe.drawn, palmar, mirror, oversampling=1.0)
            array[number, image] = np.asarray(picture)
        heard(number / recipe.identities)
    array.flush()


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    silent, root = subprocess.DEVNULL, Path(__file__).parents[2]
    return subprocess.Popen(command, cwd=root, stdin=silent, stdout=silent, stderr=silent)


def _wait(helper: subprocess.Popen[bytes]) -> None:
    try:
        helper.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        return
