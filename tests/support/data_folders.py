"""Small and full-sized data sets, written as the published ones are laid out. Images are empty files."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

HEADER = "id,age,gender,skinColor,accessories,nailPolish,aspectOfHand,imageName,irregularities"
MINI = Path(__file__).parents[3] / "shared" / "data" / "11k-mini"

# docs/data.md: rows, train identities, train_all images, test identities, test images, last training identity
ELEVEN_K = {
    "dorsal right": (2892, 72, 962, 71, 1042, 1050),
    "dorsal left": (2788, 73, 808, 73, 1061, 1037),
    "palmar right": (2813, 72, 977, 71, 988, 1051),
    "palmar left": (2583, 76, 1004, 75, 1023, 1042),
}
BETWEEN = (1039, 1042, 1043, 1046, 1050, 1051)  # trained on in one aspect, tested in another
PEOPLE = (*range(90), *BETWEEN, *range(1100, 1192), 1200000)


def row(person: str | int, name: str, aspect: str = "dorsal right", accessories: str | int = 0) -> str:
    label = person if isinstance(person, str) else f"{person:07d}"
    return f'"{label}",27,"male","fair",{accessories},0,"{aspect}","{name}",0'


def write_11k(root: Path, rows: Iterable[str], names: Iterable[str], header: str = HEADER) -> Path:
    (root / "Hands").mkdir(parents=True)
    for name in names:
        (root / "Hands" / name).touch()
    (root / "HandInfo.csv").write_text("\n".join([header, *rows]) + "\n")
    return root


def small_11k(root: Path, shuffle: int | None = None) -> Path:
    """Four aspects; people 1 to 4 for training, 2001 to 2004 for testing, three images each."""
    entries = []
    for number, aspect in enumerate(ELEVEN_K):
        for person in (1, 2, 3, 4, 2001, 2002, 2003, 2004):
            for image in range(3):
                entries.append((person, f"Hand_{number}{person:05d}{image}.jpg", aspect))
    if shuffle is not None:
        random.Random(shuffle).shuffle(entries)
    return write_11k(root, [row(*entry) for entry in entries], [name for _, name, _ in entries])


def full_11k(root: Path) -> Path:
    """11,076 rows of 189 people (190 raw ids), with the counts of every aspect as in the published data."""
    names = (f"Hand_{number:07d}.jpg" for number in count())
    rows = []
    for aspect, (total, train_ids, train, test_ids, test, last) in ELEVEN_K.items():
        trained = [p for p in BETWEEN if p <= last] + [p for p in PEOPLE if p < 1000]
        tested = [p for p in BETWEEN if p > last] + [p for p in reversed(PEOPLE) if p > 1099]
        used = spread(trained[:train_ids], train) + spread(tested[:test_ids], test)
        rows += [(person, next(names), aspect, 0) for person in used]
        with_accessories = total - len(used)
        rows += [(PEOPLE[i % len(PEOPLE)], next(names), aspect, 1) for i in range(with_accessories)]
    random.Random(0).shuffle(rows)
    strange = next(i for i, (person, _, _, accessories) in enumerate(rows) if person == 1200000 and not accessories)
    lines = [row("1200000 ", *entry[1:]) if i == strange else row(*entry) for i, entry in enumerate(rows)]
    return write_11k(root, lines, [entry[1] for entry in rows])


def spread(people: Sequence[int], images: int) -> list[int]:
    """`images` entries over all of `people`; the first has a single one."""
    rest = people[1:]
    return [people[0], *(rest[i % len(rest)] for i in range(images - 1))]


def full_hd(root: Path) -> Path:
    """The counts of the published log: 251 + 251 identities, and 213 as distractors."""
    parts = [("1-501", range(1, 252), 2156), ("1-501", range(448, 699), 2243), ("502-712", range(502, 715), 1342)]
    for part, people, images in parts:
        folder = root / "Original_Images" / part
        folder.mkdir(parents=True, exist_ok=True)
        for number, person in enumerate(spread(people, images)):
            (folder / f"{person}_{number}.jpg").touch()
    return root


def write_tree(root: Path, files: dict[str, Iterable[str]]) -> Path:
    """`{"train/0001": ["a.jpg"]}` as files that hold their own name, so that equal names are equal images."""
    for folder, names in files.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            (root / folder / name).write_text(name)
    return root


def prepared_tree(root: Path, merged: bool = True) -> Path:
    """Two training and two test identities, two trials, as MBA-Net's preparation writes them."""
    files = {
        "train_all/0000001": ["a1.jpg", "a2.jpg", "a3.jpg"],
        "train_all/0000002": ["b1.jpg", "b2.jpg"],
        "train/0000001": ["a1.jpg", "a3.jpg"],
        "train/0000002": ["b2.jpg"],
        "val/0000001": ["a2.jpg"],
        "val/0000002": ["b1.jpg"],
        "test/0001100": ["c1.jpg", "c2.jpg", "c3.jpg"],
        "test/0001101": ["d1.jpg", "d2.jpg"],
        "gallery0/0001100": ["c2.jpg"],
        "gallery0/0001101": ["d1.jpg"],
        "query0/0001100": ["c1.jpg", "c3.jpg"],
        "query0/0001101": ["d2.jpg"],
        "gallery1/0001100": ["c3.jpg"],
        "gallery1/0001101": ["d1.jpg"],
        "query1/0001100": ["c1.jpg", "c2.jpg"],
        "query1/0001101": ["d2.jpg"],
    }
    if merged:
        for trial, own in enumerate(("c2.jpg", "c3.jpg")):
            files[f"gallery{trial}_all/0001100"] = [own]
            files[f"gallery{trial}_all/0001101"] = ["d1.jpg"]
            files[f"gallery{trial}_all/11001100"] = [f"left{trial}.jpg"]
    return write_tree(root, files)
