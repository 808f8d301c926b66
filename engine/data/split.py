"""From a catalog to a split: which images are trained on, validated on and tested on, and the trials of the report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from engine.contract.config import DataConfig
from engine.contract.errors import UserError
from engine.contract.layouts import LAYOUTS
from engine.data.cache_dir import cache_folder
from engine.data.catalog import ASPECTS, Catalog, Image, Split, Subset, Trial, identities
from engine.data.folds import hold_out_people, redivide
from engine.data.layouts import read_catalog
from engine.data.layouts.options import Options
from engine.data.seeded_choice import draw
from engine.data.wording import count

Images = tuple[Image, ...]


def open_split(config: DataConfig) -> Split:
    """Recognise the data set that `config` names and split it.

    Raises UserError on a folder that is missing, unknown or damaged, a subset that is not there, and on a subset
    without training images, test identities or queries.
    """
    return split_catalog(open_catalog(config), config)


def open_catalog(config: DataConfig) -> Catalog:
    """The data set that `config` names, divided as it says. Raises UserError."""
    catalog = read_catalog(locate(config.source), config.format, Options(config.split_seed, config.identity_pattern))
    return redivide(catalog, config.split_seed) if config.division == "drawn" else catalog


def split_catalog(catalog: Catalog, config: DataConfig) -> Split:
    """The split of a subset. Raises UserError as `open_split` does."""
    name = choose_subset(catalog, config.subset)
    subset = catalog.subsets[name]
    if config.validation == "identities":
        train, val = hold_out_people(subset.train_all, config.split_seed, config.folds, config.fold)
        validation = _draw_trials(val, "validation", config.split_seed, config.trials)
    else:
        train, val = hold_out(subset, config.split_seed)
        validation = []
    what = _named(name, catalog.root)
    _check(subset, train, what)
    gallery = config.gallery if has_merged_gallery(subset) else "own" if name in ASPECTS else "all"
    trials = draw_trials(subset, gallery, config.split_seed, config.trials)
    if not any(query for query, _ in trials):
        raise UserError(f"No test identity in {what} has a second image, so there is no query: add images.")
    if validation and not validation[0][0]:
        raise UserError(f"No held-out person in {what} has a second image: use fewer folds.")
    split = _assemble(catalog, name, gallery, train, val, trials, validation)
    return replace(split, warnings=(*split.warnings, *_not_as_asked(config, split)))


def locate(source: str) -> Path:
    """The folder of a data source; `synthetic` is drawn into the cache folder if it is not there yet."""
    if source != "synthetic":
        return Path(source)
    from engine.data.synthetic import ensure  # only the demo draws; a user's own data does not wait for it

    return ensure(cache_folder())


def choose_subset(catalog: Catalog, wanted: str) -> str:
    """The subset's name; `auto` is the first that is there. Raises UserError that names those that are."""
    if wanted == "auto":
        return next(iter(catalog.subsets))
    if wanted not in catalog.subsets:
        there = ", ".join(catalog.subsets)
        raise UserError(f"{catalog.root} ({catalog.found}) has no subset {wanted!r}, but has {there}.")
    return wanted


def hold_out(subset: Subset, seed: int) -> tuple[Images, Images]:
    """Train and val: one image of each training identity is for validation, the others are trained on."""
    if subset.prepared and subset.prepared.val:
        return subset.prepared.train, subset.prepared.val
    val = {draw(images, seed, "val", 0, identity) for identity, images in identities(subset.train_all).items()}
    return tuple(image for image in subset.train_all if image not in val), tuple(sorted(val))


def without_test(split: Split) -> Split:
    """The split without any image of a test person: what a run reads that is not tested."""
    kept = sorted({*split.train, *split.val})
    position = {image: place for place, image in enumerate(kept)}

    def moved(images: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(position[image] for image in images)

    validation = tuple(Trial(moved(trial.query), moved(trial.gallery)) for trial in split.validation)
    images = tuple(split.images[image] for image in kept)
    return replace(
        split,
        images=images,
        train=moved(split.train),
        val=moved(split.val),
        test=(),
        trials=(),
        validation=validation,
    )


def has_merged_gallery(subset: Subset) -> bool:
    return bool(subset.foreign or (subset.prepared and any(t.gallery_all for t in subset.prepared.trials)))


def draw_trials(subset: Subset, gallery: str, seed: int, count: int) -> list[tuple[Images, Images]]:
    """Query and gallery of each trial: one image of each test identity is the gallery, all its others are queries.

    The merged gallery (`all`) adds one image of each foreign identity, the one that its own aspect's gallery has.
    """
    if subset.prepared and subset.prepared.trials:
        return [
            (t.query, (t.gallery_all if gallery == "all" and t.gallery_all else t.gallery))
            for t in subset.prepared.trials[:count]
        ]
    foreign = identities(subset.foreign if gallery == "all" else ())
    trials = []
    for trial, (query, chosen) in enumerate(_draw_trials(subset.test, "gallery", seed, count)):
        others = (draw(images, seed, "gallery", trial, identity) for identity, images in foreign.items())
        trials.append((query, tuple(sorted([*chosen, *others, *subset.distractors]))))
    return trials


def _draw_trials(images: Images, purpose: str, seed: int, count: int) -> list[tuple[Images, Images]]:
    """Query and gallery of each trial: one of `images` of each identity is the gallery, all others are queries."""
    groups = identities(images)
    trials = []
    for trial in range(count):
        chosen = {draw(own, seed, purpose, trial, identity) for identity, own in groups.items()}
        trials.append((tuple(image for image in images if image not in chosen), tuple(sorted(chosen))))
    return trials


def check_batch(split: Split, ids_per_batch: int, images_per_id: int) -> list[str]:
    """Whether batches of P identities with K images each can be drawn; returns warnings.

    Raises UserError if there are fewer than P identities to train on.
    """
    if len(split.classes) < 2:
        half = ", half of which are for testing" if LAYOUTS[split.format].drawn else ""
        raise UserError(
            f"A loss needs 2 or more identities to train on, but {_named(split.subset, split.root)} has "
            f"{len(split.classes)}: add identities{half}."
        )
    if ids_per_batch > len(split.classes):
        raise UserError(
            f"A batch of {ids_per_batch} identities needs at least as many training identities, but {split.subset} has "
            f"{len(split.classes)}: use {len(split.classes)} or less.",
            "train.ids_per_batch",
        )
    groups = identities(tuple(split.images[i] for i in split.train))
    few = sum(len(images) < images_per_id for images in groups.values())
    if not few:
        return []
    verb = "has" if few == 1 else "have"
    what = f"{few} of {count(len(groups), 'training identity')} {verb} fewer than {count(images_per_id, 'image')}"
    return [f"{what}: a batch repeats them."]


def steps_per_epoch(images: int, ids_per_batch: int, images_per_id: int) -> int:
    """Steps of an optimizer in one epoch of so many training images."""
    return max(1, round(images / (ids_per_batch * images_per_id)))


def without(split: Split, bad: Mapping[str, str]) -> Split:
    """The split without the images named in `bad`, each named with its reason in a warning.

    Raises UserError where no training image, no query or no gallery is left.
    """
    if not bad:
        return split
    left_out = {place for place, image in enumerate(split.images) if image.name in bad}

    def kept(images: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(image for image in images if image not in left_out)

    train = kept(split.train)
    trials = tuple(Trial(kept(trial.query), kept(trial.gallery)) for trial in split.trials)
    if not all(trial.query and trial.gallery for trial in trials) or (split.train and not train):
        name, reason = next(iter(bad.items()))
        raise UserError(
            f"Without {count(len(bad), 'image')} that cannot be decoded, {split.subset} of {split.root} has too few "
            f"images, first {name} ({reason}): replace them."
        )
    return replace(
        split,
        train=train,
        val=kept(split.val),
        test=kept(split.test),
        trials=trials,
        validation=tuple(Trial(kept(trial.query), kept(trial.gallery)) for trial in split.validation),
        classes=tuple(sorted({split.images[image].identity for image in train})),
        warnings=(
            *split.warnings,
            *(f"{name} cannot be decoded ({reason}) and is left out." for name, reason in bad.items()),
        ),
    )


def _not_as_asked(config: DataConfig, split: Split) -> list[str]:
    notes = []
    if max(len({split.images[image].identity for image in trial.gallery}) for trial in split.trials) < 2:
        notes.append(
            "The gallery contains 1 test identity: every rank is correct by construction, so the results mean nothing. "
            "Add test identities."
        )
    if split.format == "prepared" and (config.gallery, split.gallery) == ("all", "own"):
        notes.append(f"The tree has no merged gallery (gallery0_all): {split.subset} is ranked against its own.")
    if len(split.trials) < config.trials:
        notes.append(f"The tree has {count(len(split.trials), 'trial')} of its own, not {config.trials}.")
    return notes


def _check(subset: Subset, train: Images, what: str) -> None:
    if not subset.train_all:
        raise UserError(f"{what} has no training identities: choose another subset, or add images.")
    if not train:
        people = len(identities(subset.train_all))
        who = "The only training identity" if people == 1 else "Each training identity"
        raise UserError(f"{who} of {what} has 1 image, which is used for validation: add images.")
    if not subset.test:
        raise UserError(f"{what} has no test identities: choose another subset, or add identities.")


def _assemble(
    catalog: Catalog,
    name: str,
    gallery: str,
    train: Images,
    val: Images,
    trials: list[tuple[Images, Images]],
    validation: list[tuple[Images, Images]],
) -> Split:
    subset = catalog.subsets[name]
    in_trials = {image for pair in trials for part in pair for image in part}
    images = tuple(sorted({*train, *val, *subset.test, *in_trials}))
    position = {image: index for index, image in enumerate(images)}

    def positions(part: Iterable[Image]) -> tuple[int, ...]:
        return tuple(sorted(position[image] for image in part))

    return Split(
        root=catalog.root,
        format=catalog.format,
        subset=name,
        gallery=gallery,
        images=images,
        train=positions(train),
        val=positions(val),
        test=positions(subset.test),
        trials=tuple(Trial(positions(query), positions(own)) for query, own in trials),
        classes=tuple(identities(train)),
        fingerprint=_fingerprint(train, val, trials, validation),
        found=catalog.found,
        warnings=(*catalog.warnings, *map(str, catalog.unread), *notes(subset)),
        validation=tuple(Trial(positions(query), positions(own)) for query, own in validation),
    )


def notes(subset: Subset) -> list[str]:
    """What a user should know about identities with a single image."""
    train = [len(images) for images in identities(subset.train_all).values()]
    test = [len(images) for images in identities(subset.test).values()]
    notes = []
    if subset.prepared is None and (single := train.count(1)):
        notes.append(f"{_of(single, len(train), 'training identity')} one image, used for validation only.")
    if single := test.count(1):
        notes.append(f"{_of(single, len(test), 'test identity')} one image, which is in the gallery and never a query.")
    return notes


def _named(subset: str, root: Path) -> str:
    return str(root) if subset == "all" else f"{subset} of {root}"


def _of(part: int, total: int, what: str) -> str:
    return f"{part} of {count(total, what)} {'has' if part == 1 else 'have'}"


def _fingerprint(
    train: Images, val: Images, trials: list[tuple[Images, Images]], validation: list[tuple[Images, Images]]
) -> str:
    def names(part: Images) -> list[list[str]]:
        return [[image.name, image.identity] for image in sorted(part)]

    content = [names(train), names(val), [[names(query), names(gallery)] for query, gallery in trials]]
    content += [[[names(query), names(gallery)] for query, gallery in validation]] if validation else []
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
