"""Trees that MBA-Net's and CLIP-HandID's preparation writes, read with their own validation images and trials.

`train_val_test_split_dorsal_r/` holds `train_all`, `train`, `val`, `test`, `query0` … `query9`, `gallery0` …, and for
11k the merged `gallery0_all` …; each holds a folder per identity. The same file is copied into several of them: equal
identity, file name and size mean one image. What a tree lacks (`val`, the trials) is drawn as for any other folder.
"""

from __future__ import annotations

import re
from pathlib import Path

from engine.contract.errors import UserError
from engine.data.catalog import ASPECTS, Catalog, Image, Prepared, PreparedTrial, Subset
from engine.data.layouts.files import joined, list_folder
from engine.data.layouts.folder import read_identities
from engine.data.layouts.options import Options
from engine.data.layouts.unread import LOOSE, UnreadFiles
from engine.data.wording import count

SIDES = {"r": "right", "l": "left"}


def recognise(root: Path, options: Options) -> bool:
    return bool(trees_in(root))


def trees_in(root: Path) -> dict[str, Path]:
    """The trees by subset name: the folder itself, or those in it. Empty if there is none."""
    if _is_tree(root):
        return {_subset_name(root.name): root}
    trees: dict[str, Path] = {}
    for name in list_folder(root, root).folders:
        if _is_tree(root / name):
            subset = _subset_name(name)
            trees[name if subset in trees else subset] = root / name
    order = {name: position for position, name in enumerate(ASPECTS)}
    return dict(sorted(trees.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))


def read(root: Path, options: Options) -> Catalog:
    """Raises UserError if there is no tree, or if an identity is in its training and in its test part."""
    trees = trees_in(root)
    if not trees:
        raise UserError(f"{root} is not a prepared tree: it needs train (or train_all) and test (or query0, gallery0).")
    subsets, warnings, unread = {}, [], UnreadFiles(root)
    for name, tree in trees.items():
        subsets[name], more = _read_tree(tree, root, unread)
        warnings += more
    found = f"prepared tree{'s' if len(trees) > 1 else ''}: {', '.join(tree.name for tree in trees.values())}"
    return Catalog(root, "prepared", found, subsets, tuple(dict.fromkeys(warnings)), unread.found())


def _is_tree(folder: Path) -> bool:
    names = set(list_folder(folder, folder).folders)
    return bool(names & {"train", "train_all"}) and ("test" in names or {"query0", "gallery0"} <= names)


def _subset_name(folder: str) -> str:
    if match := re.search(r"(dorsal|palmar)[ _-]?(right|left|r|l)$", folder.lower()):
        return f"{match[1]}-{SIDES.get(match[2], match[2])}"
    return "all"


def _read_tree(tree: Path, root: Path, unread: UnreadFiles) -> tuple[Subset, list[str]]:
    listing = list_folder(tree, root)
    folders = set(listing.folders)
    unread.add(LOOSE, joined("" if tree == root else tree.relative_to(root).as_posix(), listing.files))
    known: dict[tuple[str, str, int], Image] = {}
    warnings: list[str] = []

    def part(name: str) -> tuple[Image, ...]:
        if name not in folders:
            return ()
        images, more = read_identities(tree / name, root, unread)
        warnings.extend(more)
        return tuple(sorted({_once(known, root, name, image) for image in images}))

    train, val, test = part("train"), part("val"), part("test")
    trials = []
    for number in sorted(int(name[5:]) for name in folders if re.fullmatch(r"query[0-9]{1,3}", name)):
        trial = PreparedTrial(part(f"query{number}"), part(f"gallery{number}"), part(f"gallery{number}_all"))
        if not trial.query or not trial.gallery:
            raise UserError(
                f"query{number} or gallery{number} of {tree} contains no images: complete or delete this trial."
            )
        trials.append(trial)
    if not trials:
        warnings.append(f"{tree.name} has no query0 and gallery0: its trials are drawn by the split seed.")
    train_all = part("train_all") or tuple(sorted(train + val))
    own = [image for trial in trials for image in trial.query + trial.gallery]
    test = test or tuple(sorted(set(own)))
    tested = {image.identity for image in test}
    distractors = tuple(sorted({image for image in own if image.identity not in tested}))
    _check_apart(tree, {*train_all, *train, *val}, {*test, *own, *(i for trial in trials for i in trial.gallery_all)})
    prepared = Prepared(train if val else (), val if train else (), tuple(trials))
    images = len(train_all) + len(test) + len(distractors)
    return Subset(images, train_all, test, distractors=distractors, prepared=prepared), warnings


def _once(known: dict[tuple[str, str, int], Image], root: Path, part: str, image: Image) -> Image:
    file_name = image.name.rpartition("/")[2]
    key = (image.identity, file_name, (root / image.path).stat().st_size)
    return known.setdefault(key, Image(f"{part}/{image.name}", image.path, image.identity))


def _check_apart(tree: Path, train: set[Image], test: set[Image]) -> None:
    both = {image.identity for image in train} & {image.identity for image in test}
    if both:
        raise UserError(
            f"{count(len(both), 'identity')} of {tree} {'is' if len(both) == 1 else 'are'} in its training and in its "
            f"test part, first {min(both)}: remove from one of the two, or no result would mean anything."
        )
