"""What `handreid data check PATH` says: the layout, and every count of the protocol's table."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from engine.data.catalog import Catalog, Image, Subset, identities
from engine.data.layouts import read_catalog
from engine.data.split import draw_trials, has_merged_gallery, hold_out, locate, notes


def check_folder(path: str | Path, format: str = "auto", seed: int = 0, decode: bool = False) -> dict[str, Any]:
    """Layout, root, counts by subset, and warnings. With `decode`, also `undecodable`: used images that are damaged.

    Raises UserError where nothing is there or recognised, or something is wrong in it.
    """
    catalog = read_catalog(locate(str(path)), format, seed)
    result: dict[str, Any] = {
        "format": catalog.format,
        "found": catalog.found,
        "root": str(catalog.root),
        "subsets": {name: _counts(subset, seed) for name, subset in catalog.subsets.items()},
        "warnings": [*catalog.warnings, *_notes(catalog)],
    }
    if decode:
        result["undecodable"] = _undecodable(catalog)
    return result


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


def _notes(catalog: Catalog) -> list[str]:
    return [f"{name}: {note}" for name, subset in catalog.subsets.items() for note in notes(subset)]


def _undecodable(catalog: Catalog) -> list[str]:
    used: set[Image] = set()
    for subset in catalog.subsets.values():
        used.update(subset.train_all, subset.test, subset.distractors)
        if own := subset.prepared:
            used.update(own.train, own.val, *(trial.gallery_all for trial in own.trials))
    paths = sorted({image.path for image in used})
    with ThreadPoolExecutor() as pool:
        whole = pool.map(lambda path: _decodes(catalog.root / path), paths)
        return [path for path, is_whole in zip(paths, whole, strict=True) if not is_whole]


def _decodes(path: Path) -> bool:
    from engine.data.decode import Undecodable, read_picture

    try:
        read_picture(path, 32)
    except Undecodable:
        return False
    return True
