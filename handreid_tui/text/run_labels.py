"""What to call a run among others: its combination and the settings in which they differ. The same words everywhere."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from handreid_tui.history import RunRow

Key = TypeVar("Key", bound=Hashable)
Settings = Mapping[str, Any]

ABBREVIATIONS = {"margin": "m", "weight": "w", "ids_per_batch": "ids", "images_per_id": "images"}
FIRST = ("loss.", "train.lr", "train.", "model.", "augment.", "data.")  # of settings that tell as much
NOT_NAMED = ("version", "combo", "seed", "device", "threads", "train.checkpoint_every", "train.compile")
LONGEST = 24  # characters of a value


@dataclass(frozen=True)
class Subject:
    """What is to be labelled. `name`: that a user gave, or "". `seed`: None where it covers several."""

    combo: str
    settings: Settings
    name: str = ""
    seed: int | None = None


def run_labels(runs: Iterable[RunRow], settings: Mapping[int, Settings], *, seeds: bool = True) -> dict[int, str]:
    """The label of each run by its number, such as `ce_triplet m=0.5 s1`.

    settings: the configuration of each run, as dotted keys; keys that no two runs differ in may be left out.
    seeds: whether the label ends with the seed.
    """
    subjects = {
        run.number: Subject(run.combo, settings.get(run.number, {}), own_name(run), run.seed if seeds else None)
        for run in runs
    }
    return labels(subjects)


def own_name(run: RunRow) -> str:
    """The name that a user gave, "" where it is that of the folder."""
    return "" if run.name == run.path.name else run.name


def labels(subjects: Mapping[Key, Subject]) -> dict[Key, str]:
    """A label for each: the given name, the combination, what differs from others of that combination, the seed."""
    by_combo: dict[str, dict[Key, Settings]] = {}
    for key, subject in subjects.items():
        by_combo.setdefault(subject.combo, {})[key] = subject.settings
    differences = {combo: _differences(list(group.values())) for combo, group in by_combo.items()}
    found = {}
    for key, subject in subjects.items():
        own = subject.settings
        parts = [subject.name, subject.combo]
        parts += [f"{short}={show(own[full])}" for full, short in differences[subject.combo].items() if full in own]
        parts.append("" if subject.seed is None else f"s{subject.seed}")
        found[key] = " ".join(filter(None, parts))
    return found


def _differences(group: Sequence[Settings]) -> dict[str, str]:
    """The fewest settings that tell the configurations of a group apart, each with its short name.

    Greedy: always the setting that makes the most groups, losses first among equals.
    """
    distinct = list({repr(sorted(each.items(), key=lambda item: item[0])): each for each in group}.values())
    keys = [key for key in {key for each in distinct for key in each} if key not in NOT_NAMED]
    values = {key: [repr(each.get(key)) for each in distinct] for key in sorted(keys, key=_place)}
    values = {key: column for key, column in values.items() if len(set(column)) > 1}
    chosen: list[str] = []
    groups = [""] * len(distinct)
    while values:
        counts = {key: len(set(zip(groups, column, strict=True))) for key, column in values.items()}
        best = max(counts, key=lambda key: counts[key])
        if counts[best] == len(set(groups)):
            break
        chosen.append(best)
        groups = [f"{group}\n{value}" for group, value in zip(groups, values.pop(best), strict=True)]
    present = {key for each in distinct for key in each}
    return {key: short_key(key, present) for key in sorted(chosen, key=_place)}


def _place(key: str) -> tuple[int, str]:
    return next((n for n, start in enumerate(FIRST) if key.startswith(start)), len(FIRST)), key


def short_key(key: str, among: Iterable[str]) -> str:
    """`train.lr` as `lr`, `loss.triplet.margin` as `m`; with its term where several terms have such an option.

    Settings of the first stage stay whole: `prompts.lr` is not `lr`.
    """
    if key.startswith("prompts."):
        return key
    last = key.rpartition(".")[2]
    short = ABBREVIATIONS.get(last, last)
    if key.startswith("loss.") and any(other != key and other.rpartition(".")[2] == last for other in among):
        return f"{key.split('.')[1]}.{short}"
    return key.split(".")[0] if last in ("name", "source") else short


def show(value: Any) -> str:
    """A setting in few characters: 1e-4 rather than 0.0001, the end of a path."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        plain = f"{value:g}"
        mantissa, _, exponent = f"{value:.6e}".partition("e")
        scientific = f"{float(mantissa):g}e{int(exponent)}"
        return scientific if len(scientific) < len(plain) else plain
    if isinstance(value, list | tuple):
        return f"[{','.join(map(show, value))}]"
    text = str(value).rstrip("/").rpartition("/")[2].replace("\n", " ")
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
