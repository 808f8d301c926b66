"""Who a run was trained on, as far as its data are still there: such people must not calibrate it."""

from __future__ import annotations

from pathlib import Path

from engine.contract.config import DataConfig
from engine.contract.errors import UserError
from engine.data.cache_dir import cache_folder
from engine.data.people import person_of
from engine.data.split import open_split
from engine.data.synthetic.folder import demo_folder


def trained_people(data: DataConfig, tested: Path) -> set[str] | None:
    """The persons whom a run on `data` was trained on, who may be among those of the folder `tested`.

    None where the training data are not there any more. Synthetic people are nobody else's.
    """
    synthetic = demo_folder(cache_folder())
    source = synthetic if data.source == "synthetic" else Path(data.source)
    if (source.resolve() == synthetic.resolve()) != (tested.resolve() == synthetic.resolve()):
        return set()
    if not source.is_dir():
        return None
    try:
        split = open_split(data)
    except UserError:
        return None
    return {person_of(identity) for identity in split.classes}
