"""Write drawn hands as a folder in the layout of 11k Hands: `Hands/Hand_0000001.jpg` … and `HandInfo.csv`."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.contract.errors import UserError
from engine.data.synthetic.identity import ASPECTS, marks, person
from engine.data.synthetic.picture import draw
from engine.data.synthetic.scene import scene

VERSION = 2  # raise it with every change of the pictures: a cached folder of another version is never reused

# The published split of 11k Hands puts identities up to 1037 … 1051, by aspect, into train: ours split alike in each.
LAST_TRAIN = 1037
FIRST_TEST = 2001
HEADER = "id,age,gender,skinColor,accessories,nailPolish,aspectOfHand,imageName,irregularities\n"
WORTH_A_PROCESS = 100  # pictures: they take about as long as starting one


@dataclass(frozen=True)
class Plan:
    """What to draw; the folder's content is a function of this."""

    train_identities: int
    test_identities: int
    images: int  # of each aspect of each identity
    seed: int
    size: int = 128
    aspects: tuple[str, ...] = ("dorsal right",)


DEMO = Plan(train_identities=128, test_identities=48, images=9, seed=0)


@dataclass(frozen=True)
class SyntheticPicture:
    identity: int
    aspect: str
    index: int
    name: str


def demo_folder(cache: Path) -> Path:
    """Where the demo's data set is, once it is drawn."""
    key = hashlib.sha256(json.dumps([VERSION, asdict(DEMO)]).encode()).hexdigest()[:12]
    return cache / f"synthetic-{key}"


def ensure(cache: Path) -> Path:
    """The folder of the demo's data set in `cache`, drawn the first time. Several processes may ask at once."""
    folder = demo_folder(cache)
    if not folder.is_dir():
        with suppress(FileExistsError):  # another process was faster, with the same pictures
            _write(folder, DEMO)
    return folder


def write(
    folder: Path,
    train_identities: int,
    test_identities: int,
    images: int,
    seed: int,
    size: int = 128,
    aspects: tuple[str, ...] = ("dorsal right",),
) -> None:
    """Draw `images` pictures of each aspect of each identity, `size` pixels a side; `folder` appears complete.

    The same arguments give the same bytes, and a picture depends only on seed, identity, aspect and index.
    Raises UserError for arguments out of range and for a folder that holds something already.
    """
    plan = Plan(train_identities, test_identities, images, seed, size, tuple(aspects))
    _check(plan)
    try:
        _write(folder, plan)
    except FileExistsError:
        raise UserError(f"{folder} already exists: name a new folder.") from None


def _check(plan: Plan) -> None:
    if not 1 <= plan.train_identities <= LAST_TRAIN:
        raise UserError(
            f"Between 1 and {LAST_TRAIN} training identities can be generated, not {plan.train_identities}."
        )
    if not 1 <= plan.test_identities <= 9_000_000:
        raise UserError(f"At least one test identity must be generated, not {plan.test_identities}.")
    if plan.images < 1 or plan.size < 16 or plan.seed < 0:
        raise UserError("Synthetic hands need at least 1 image, at least 16 pixels per side and a seed of 0 or more.")
    if not plan.aspects or len(set(plan.aspects) & set(ASPECTS)) < len(plan.aspects):
        raise UserError(f"Aspects are some of {', '.join(ASPECTS)}, each at most once.")


def _write(folder: Path, plan: Plan) -> None:
    if folder.exists():
        raise FileExistsError(folder)
    unfinished = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        (unfinished / "Hands").mkdir(parents=True)
        _draw_all(unfinished / "Hands", plan)
        with (unfinished / "HandInfo.csv").open("w", newline="\n") as table:
            table.write(HEADER + "".join(_row(picture, plan.seed) for picture in pictures(plan)))
        _rename(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def pictures(plan: Plan) -> list[SyntheticPicture]:
    """Every picture of the plan, in the order of its file name."""
    people = [*range(1, plan.train_identities + 1), *range(FIRST_TEST, FIRST_TEST + plan.test_identities)]
    places = [(who, aspect, index) for who in people for aspect in plan.aspects for index in range(plan.images)]
    return [SyntheticPicture(*place, f"Hand_{number:07d}.jpg") for number, place in enumerate(places, 1)]


def _draw_all(folder: Path, plan: Plan) -> None:
    """Every core draws a share. In plain subprocesses: a fork is unsafe beside threads, a spawn imports our caller."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = min(cores, 1 + len(pictures(plan)) // WORTH_A_PROCESS)
    command = [sys.executable, "-m", "engine.data.synthetic", str(folder.absolute()), json.dumps(asdict(plan))]
    helpers = [_start([*command, f"{share}/{shares}"]) for share in range(1, shares)]
    try:
        draw_share(folder, plan, 0, shares)
        for share, helper in enumerate(helpers, 1):
            if helper.wait() != 0:
                draw_share(folder, plan, share, shares)  # what failed there fails here too, with its reason
    finally:
        for helper in helpers:
            helper.kill()
            helper.wait()


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    silent, root = subprocess.DEVNULL, Path(__file__).parents[3]
    return subprocess.Popen(command, cwd=root, stdin=silent, stdout=silent, stderr=silent)


def draw_share(folder: Path, plan: Plan, share: int, shares: int) -> None:
    """Draw every `shares`-th picture, from number `share`, into `folder`."""
    for picture in pictures(plan)[share::shares]:
        place = (plan.seed, picture.identity, picture.aspect)
        palmar, mirror = picture.aspect.startswith("palmar"), picture.aspect in ("dorsal left", "palmar right")
        who = person(plan.seed, picture.identity)
        image = draw(who, marks(*place), scene(*place, picture.index), plan.size, palmar, mirror)
        image.save(folder / picture.name, quality=92)


def _row(picture: SyntheticPicture, seed: int) -> str:
    who = person(seed, picture.identity)
    about = f'"{picture.identity:07d}",{who.age},"{who.gender}","{who.skin_name}",0,{int(who.polish is not None)}'
    return f'{about},"{picture.aspect}","{picture.name}",0\n'


def _rename(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError:
        if target.exists():
            raise FileExistsError(target) from None
        raise
