"""The settings of the runs to launch: one line a field, checked while it is typed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Grid, Horizontal
from textual.message import Message
from textual.suggester import Suggester, SuggestFromList
from textual.widget import Widget
from textual.widgets import Input, Label

from engine.contract.choices import ASPECTS
from engine.contract.combos import COMBOS
from engine.contract.errors import UserError
from handreid_tui.launch.grid import Axes, read_setting, read_values, split_values
from handreid_tui.launch.seeds import read_seeds
from handreid_tui.ui.screens.launch.complete_paths import PathSuggester

if TYPE_CHECKING:
    from engine.contract.config import RunConfig


@dataclass(frozen=True)
class Entry:
    """A field: its name, what it sets, and words that it completes; `paths`: also folders and files of weights."""

    id: str
    label: str
    hint: str
    keys: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    paths: bool = False


SLURM = "slurm"  # as a device: a node of the cluster
ENTRIES = (
    Entry("data", "Data", "", ("data.source",), ("synthetic",), paths=True),
    Entry("subset", "Subset", "", ("data.subset",), ("auto", *ASPECTS, "all")),
    Entry("gallery", "Gallery", "", ("data.gallery",), ("all", "own")),
    Entry(
        "model",
        "Model",
        "",
        ("model.name",),
        ("ViT-B-16", "ViT-B-32", "ViT-L-14", "RN50", "handreid-tiny", "handreid-small"),
    ),
    Entry(
        "pretrained",
        "Weights",
        "",
        ("model.pretrained",),
        ("openai", "none", "synthetic", "laion2b_s34b_b88k", "last"),
        True,
    ),
    Entry("epochs", "Epochs", "", ("train.epochs",)),
    Entry("batch", "Batch", "", ("train.ids_per_batch", "train.images_per_id")),
    Entry("lr", "Rate", "", ("train.lr",)),
    Entry("seeds", "Seeds", "0"),
    Entry("device", "Device", "", ("device",), ("auto", "cpu", "cuda", "cuda:0", SLURM)),
    Entry("tags", "Tags", "words"),
    Entry("pattern", "Pattern", "identity in names", ("data.identity_pattern",)),
    Entry("more", "More", "key=value key=value"),
)
WEIGHTS = (".pt", ".pth", ".bin", ".safetensors")  # files that are completed
LABELS = {key: entry.label for entry in ENTRIES for key in entry.keys}


class Field(Horizontal):
    """A label and a line to type in. `reason`: why the value is wrong, "" where it is not."""

    DEFAULT_CSS = """
    Field { height: 1; }
    Field Label { width: 10; color: $secondary; }
    Field Input { width: 1fr; background: $surface; padding: 0 1; }
    Field Input:focus { background: $panel; }
    Field.wrong Label { color: $error; text-style: bold; }
    Field.wrong Input { color: $error; }
    """

    def __init__(self, entry: Entry, value: str) -> None:
        super().__init__(id=f"field-{entry.id}")
        self.entry, self.reason = entry, ""
        self._value = value

    def compose(self) -> ComposeResult:
        words: Suggester | None = SuggestFromList(self.entry.words, case_sensitive=False) if self.entry.words else None
        if self.entry.paths:
            words = PathSuggester(self.entry.words, WEIGHTS if self.entry.id == "pretrained" else ())
        yield Label(self.entry.label)
        yield Input(self._value, placeholder=self.entry.hint, suggester=words, compact=True, select_on_focus=False)

    @property
    def input(self) -> Input:
        return self.query_one(Input)

    @property
    def text(self) -> str:
        return self.input.value.strip() if self.is_mounted else self._value.strip()

    def judge(self, reason: str) -> None:
        self.reason = reason
        self.set_class(bool(reason), "wrong")
        self.query_one(Label).update(f"! {self.entry.label}" if reason else self.entry.label)


class Form(Widget):
    """All fields; an empty one leaves the recipe's value."""

    DEFAULT_CSS = """
    Form { height: auto; border: round $border-blurred; border-title-style: bold; border-title-color: $foreground;
           border-subtitle-color: $secondary; padding: 0 1; }
    Form:focus-within { border: round $border; }
    Form Grid { grid-size: 4; grid-gutter: 0 3; grid-rows: 1; height: auto; }
    """

    class Changed(Message):
        """A field has another value."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__()
        self.border_title = "Settings"
        self.border_subtitle = "empty: the default of the model's recipe"
        self._values = values

    def compose(self) -> ComposeResult:
        with Grid():
            for entry in ENTRIES:
                yield Field(entry, str(self._values.get(entry.id, "")))

    @property
    def fields(self) -> dict[str, Field]:
        return {field.entry.id: field for field in self.query(Field)}

    @property
    def values(self) -> dict[str, str]:
        """What was typed, to be remembered."""
        return {name: field.text for name, field in self.fields.items() if field.text}

    @property
    def wrong(self) -> Field | None:
        """A field with a wrong value: the focused one first."""
        wrong = [field for field in self.query(Field) if field.reason]
        return next((field for field in wrong if field.input.has_focus), wrong[0] if wrong else None)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed())

    @property
    def texts(self) -> dict[str, str]:
        """What every field holds."""
        return {name: field.text for name, field in self.fields.items()}

    def show_reasons(self, reasons: Mapping[str, str]) -> None:
        """Mark the fields whose value is wrong."""
        for name, field in self.fields.items():
            field.judge(reasons[name])

    def fill(self, texts: Mapping[str, str]) -> None:
        """Put these texts into the fields."""
        for name, text in texts.items():
            self.fields[name].input.value = text

    def show_defaults(self, config: RunConfig) -> None:
        """Say in each empty field what will be taken."""
        train, data = config.train, config.data
        shown = {
            "data": "synthetic or a folder" if data.source == "synthetic" else data.source,
            "subset": "auto: the first available" if data.subset == "auto" else data.subset,
            "gallery": data.gallery,
            "model": config.model.name,
            "pretrained": config.model.pretrained,
            "epochs": str(train.epochs),
            "batch": f"{train.ids_per_batch}x{train.images_per_id}",
            "lr": f"{train.lr:g}",
            "device": config.device,
        }
        for name, text in shown.items():
            self.fields[name].input.placeholder = text


def read_entry(entry: Entry, text: str) -> Axes:
    """The settings of a field, each with its values: commas separate several. Raises UserError if it cannot be read."""
    if not text or entry.id in ("seeds", "tags"):
        return {}
    if entry.id == "device" and text == SLURM:
        from handreid_tui.launch.slurm.client import check_login_node

        check_login_node()
        return {}
    if entry.id == "batch":
        return _read_batches(entry, text)
    if entry.id == "more":
        if wrong := [part for part in text.split() if "=" not in part]:
            raise UserError(f"More takes key=value, separated by spaces, but got {wrong[0]!r}.")
        return dict(read_setting(part) for part in text.split())
    key = entry.keys[0]
    if entry.id in ("data", "model", "pattern"):  # whole: a comma in it separates nothing
        return {key: [text]}
    if entry.id == "pretrained":
        return {key: [part.strip() for part in split_values(text)]}
    return {key: read_values(key, text)}


def _read_batches(entry: Entry, text: str) -> Axes:
    """`16x4` or `16x4,32x4`. Raises UserError where a batch cannot be read, or one of the crossed ones is missing."""
    batches = []
    for batch in split_values(text):
        parts = batch.lower().replace("×", "x").split("x")
        if len(parts) != 2 or not all(part.strip().isdigit() for part in parts):
            raise UserError(f"A batch is identities x images of each, like 16x4, but got {batch.strip()!r}.")
        batches.append((int(parts[0]), int(parts[1])))
    values = [list(dict.fromkeys(each)) for each in zip(*batches, strict=True)]
    if len(values[0]) * len(values[1]) != len(set(batches)):
        raise UserError("Batches must differ in one number only, or include every pair of the two numbers.")
    return dict(zip(entry.keys, values, strict=True))


def reason_against(entry: Entry, text: str) -> str:
    """Why the value of a field is wrong by itself, "" where it is not."""
    try:
        if entry.id == "seeds":
            read_seeds(text)
        elif found := read_entry(entry, text):
            from engine.contract.config import resolve

            combo, first = next(name for name in COMBOS if COMBOS[name].weights), {k: v[0] for k, v in found.items()}
            for key, value in ((key, value) for key, values in found.items() for value in values):
                resolve(combo, 0, None, **first | {key: value})
    except UserError as error:
        return short_paths(str(error))
    return ""


def of_field(error: UserError) -> str:
    """The sentence after the label of the field that it is about, where it is about a setting."""
    label = LABELS.get(error.setting, "More" if error.setting else "")
    return f"{label}: {short_paths(str(error))}" if label else short_paths(str(error))


@contextmanager
def naming_fields() -> Iterator[None]:
    """A UserError of what is done inside names the field that it is about."""
    try:
        yield
    except UserError as error:
        raise UserError(of_field(error)) from None


def short_paths(text: str) -> str:
    """The text with long paths cut to their end."""
    return re.sub(r"(?<!\S)/[^\s:,'\"]{24,}/([^\s/:,'\"]+)", r"…/\1", text)
