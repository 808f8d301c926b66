"""What `handreid data check PATH` says: the layout, the counts of the protocol's table, and a verdict."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract.config import resolve
from engine.contract.errors import UserError
from engine.data.catalog import TOLERATED, Catalog, Image, Split, Subset, identities
from engine.data.duplicates import copies
from engine.data.layouts.files import HEIC, suffix
from engine.data.split import check_batch, draw_trials, has_merged_gallery, hold_out, notes, open_catalog, split_catalog
from engine.data.wording import count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 64  # pixels; enough to find damage and copies


def check_folder(
    path: str | Path,
    format: str = "auto",
    seed: int = 0,
    decode: bool = False,
    identity_pattern: str | None = None,
) -> dict[str, Any]:
    """Layout, root, counts by subset, warnings, what is not read, and a verdict: which subsets can be trained on.

    With `decode`, also `undecodable`: the used images that cannot be decoded, and the `reasons` by image. Then
    near-identical images are found too, else only byte-identical ones. Raises UserError where nothing is there or
    recognised, or something is wrong in it.
    """
    asked = {"format": format, "split_seed": seed, "identity_pattern": identity_pattern, "trials": 1}
    config = resolve("zero_shot", **{f"data.{key}": value for key, value in asked.items()}).data
    config = config.model_copy(update={"source": str(path)})  # a path may be no UTF-8
    catalog = open_catalog(config)
    undecodable, thumbnails = _decode(catalog) if decode else (_without_reader(catalog), {})
    warnings = [*catalog.warnings, *map(str, catalog.unread)]
    trainable, problems = [], {}
    for name, subset in catalog.subsets.items():
        warnings += [f"{name}: {note}" for note in notes(subset)]
        try:
            split = split_catalog(catalog, config.model_copy(update={"subset": name}))
            check_batch(split, 2, 1)
            _check_decodable(split, undecodable)
        except UserError as error:
            problems[name] = str(error)
            continue
        trainable.append(name)
        known = {*warnings, *split.warnings}
        warnings += [note for note in split.warnings if f"{name}: {note}" not in known and note not in warnings]
        small = _in_order(thumbnails, split)
        warnings += [f"{name}: {note}" for note in copies(split, small)]
    result: dict[str, Any] = {
        "format": catalog.format,
        "found": catalog.found,
        "root": str(catalog.root),
        "subsets": {name: _counts(subset, seed) for name, subset in catalog.subsets.items()},
        "warnings": warnings,
        "unread": {one.kind: {"count": one.number, "first": one.first} for one in catalog.unread},
        "trainable": trainable,
        "verdict": _verdict(trainable, problems),
    }
    if decode:
        result |= {"undecodable": sorted(undecodable), "reasons": undecodable}
    return result


def _verdict(trainable: list[str], problems: dict[str, str]) -> str:
    """One sentence."""
    if not trainable:
        reasons = list(dict.fromkeys(problems.values()))
        return f"It cannot be trained on: {reasons[0]}"
    if not problems:
        return "It can be trained on." if len(trainable) == 1 else f"Each of {', '.join(trainable)} can be trained on."
    name, reason = next(iter(problems.items()))
    others = f" (and {count(len(problems) - 1, 'other subset')})" if len(problems) > 1 else ""
    return f"{', '.join(trainable)} can be trained on; not {name}{others}: {reason}"


def _check_decodable(split: Split, undecodable: dict[str, str]) -> None:
    bad = [image.path for image in split.images if image.path in undecodable]
    if len(bad) > TOLERATED * len(split.images):
        raise UserError(
            f"{len(bad)} of {count(len(split.images), 'image')} cannot be decoded, first {bad[0]} "
            f"({undecodable[bad[0]]}): replace or remove them."
        )


def _counts(subset: Subset, seed: int) -> dict[str, int]:
    train, val = hold_out(subset, seed)
    query, gallery = draw_trials(subset, "own", seed, 1)[0]
    _, gallery_all = draw_trials(subset, "all", seed, 1)[0] if has_merged_gallery(subset) else (query, gallery)
    train_identities, test_identities = len(identities(subset.train_all)), len(identities(subset.test))
    counts = {
        "images": subset.images,
        "used": len(subset.train_all) + len(subset.test) + len(subset.distractors),
        "identities": train_identities + test_identities,
        "train_identities": train_identities,
        "train_all": len(subset.train_all),
        "train": len(train),
        "val": len(val),
        "test_identities": test_identities,
        "test": len(subset.test),
        "query": len(query),
        "gallery": len(gallery),
        "gallery_all": len(gallery_all),
    }
    if subset.distractors:
        counts["distractor_identities"] = len(identities(subset.distractors))
        counts["distractors"] = len(subset.distractors)
    return counts


def _decode(catalog: Catalog) -> tuple[dict[str, str], dict[str, NDArray[np.uint8]]]:
    """Of every used image, by path: why it cannot be decoded, or its thumbnail."""
    from engine.data.cache import Resize, decode
    from engine.data.decode import Undecodable

    paths = _used(catalog)

    def one(path: str) -> str | NDArray[np.uint8]:
        try:
            return decode(catalog.root / path, Resize(SIDE)).thumbnail
        except Undecodable as reason:
            return str(reason)

    with ThreadPoolExecutor() as pool:
        found = dict(zip(paths, pool.map(one, paths), strict=True))
    undecodable = {path: reason for path, reason in found.items() if isinstance(reason, str)}
    return undecodable, {path: small for path, small in found.items() if not isinstance(small, str)}


def _used(catalog: Catalog) -> list[str]:
    used: set[Image] = set()
    for subset in catalog.subsets.values():
        used.update(subset.train_all, subset.test, subset.distractors)
        if own := subset.prepared:
            used.update(own.train, own.val, *(trial.gallery_all for trial in own.trials))
    return sorted({image.path for image in used})


def _without_reader(catalog: Catalog) -> dict[str, str]:
    """The HEIC images, by their suffix, that this installation cannot decode; any other image is not opened."""
    paths = [path for path in _used(catalog) if suffix(path) in HEIC]
    if not paths:
        return {}
    from engine.data.decode import HEIC_WAY_OUT, lacks_reader

    return {path: HEIC_WAY_OUT for path in paths if lacks_reader(catalog.root / path)}


def _in_order(thumbnails: dict[str, NDArray[np.uint8]], split: Split) -> NDArray[np.uint8] | None:
    if not thumbnails:
        return None
    import numpy as np

    blank = np.zeros_like(next(iter(thumbnails.values())))  # of a damaged image: flat, so compared with nothing
    return np.stack([thumbnails.get(image.path, blank) for image in split.images])
