"""events.jsonl: what happened in a run, one JSON object a line, append-only. The trainer writes, the manager reads.

A line is `{"v": 1, "t": <Unix seconds>, "kind": …}` and the fields of its kind, for each of which there is a class
below; the table in docs/architecture.md is checked against them. A field that is None is not written; NaN and infinity
are written as null and read as NaN. A reader ignores unknown kinds and fields; a half-written last line waits for its
end. No torch here.
"""

import json
import math
import os
import time
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from engine.contract.event_fields import LARGEST, as_flag, as_mapping, as_number, as_text
from engine.contract.event_fields import numbers as numbers
from engine.contract.event_fields import whole as whole

VERSION = 1
LONGEST_LINE = 1 << 20  # bytes; no event comes near, and a reader's memory stays bounded
_ENCODE = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_DECODE = json.JSONDecoder(parse_constant=lambda _: math.nan).raw_decode  # half of what `loads` takes


SPREAD = "spread"  # the entries of this field stand beside the other fields, and take what no other field names


class RunStarted(NamedTuple):
    """A trainer has read its data and built its model: what it trains, and where."""

    pid: Annotated[int | None, whole] = None
    host: Annotated[str | None, as_text] = None
    device: Annotated[str | None, as_text, "torch's name"] = None
    device_name: Annotated[str | None, as_text, "readable name"] = None
    compute: Annotated[str | None, as_text, "precision and kernels"] = None
    threads: Annotated[int | None, whole] = None
    world_size: Annotated[int | None, whole, "number of parallel processes"] = None
    combo: Annotated[str | None, as_text] = None
    epochs: Annotated[int | None, whole] = None
    steps: Annotated[int | None, whole, "total over all epochs"] = None
    dataset: Annotated[str | None, as_text] = None
    format: Annotated[str | None, as_text, "layout of the data set"] = None
    subset: Annotated[str | None, as_text] = None
    gallery: Annotated[str | None, as_text] = None
    fingerprint: Annotated[str | None, as_text, "of the split"] = None
    found: Annotated[str | None, as_text, "contents of the data set"] = None
    model: Annotated[str | None, as_text] = None
    pretrained: Annotated[str | None, as_text] = None
    image_size: Annotated[int | None, whole, "pixels"] = None
    parameters: Annotated[int | None, whole, "of the encoder"] = None
    train_images: Annotated[int | None, whole] = None
    train_identities: Annotated[int | None, whole] = None
    test_identities: Annotated[int | None, whole] = None
    prompt_epochs: Annotated[int | None, whole, "of the first stage, of a combination that has one"] = None
    prompt_steps: Annotated[int | None, whole, "total of the first stage"] = None
    prompts_from: Annotated[int | None, whole, "steps of the first stage completed in the checkpoint"] = None
    resumed_from: Annotated[int | None, whole, "steps completed in the checkpoint"] = None
    t: float | None = None


class TrainingStep(NamedTuple):
    """The losses of a step; not every step is written."""

    step: Annotated[int, whole, "from 0"]
    epoch: Annotated[int | None, whole, "from 1"] = None
    total: Annotated[float | None, as_number, "weighted sum of the terms"] = None
    terms: Annotated[dict[str, float] | None, numbers, "each loss without its weight"] = None
    watched: Annotated[dict[str, float] | None, numbers, "other measurements, such as `facenet/active`"] = None
    lr: Annotated[float | None, as_number] = None
    images_per_s: Annotated[float | None, as_number] = None
    t: float | None = None


class PromptStep(NamedTuple):
    """The losses of a step of the first stage, which learns prompts; not every step is written."""

    step: Annotated[int, whole, "of the stage, from 0"]
    epoch: Annotated[int | None, whole, "from 1"] = None
    total: Annotated[float | None, as_number, "sum of the terms"] = None
    terms: Annotated[dict[str, float] | None, numbers, "`i2t` and `t2i`"] = None
    lr: Annotated[float | None, as_number] = None
    seconds: Annotated[float | None, as_number, "of the stage so far"] = None
    t: float | None = None


class EpochDone(NamedTuple):
    """An epoch of training, with the means over its steps."""

    step: Annotated[int, whole, "steps completed"]
    epoch: Annotated[int | None, whole] = None
    seconds: Annotated[float | None, as_number, "of training"] = None
    geometry: Annotated[dict[str, float] | None, numbers, "of the validation: see METRICS"] = None
    means: Annotated[dict[str, float] | None, numbers, "means of `total` and of each term", SPREAD] = None
    t: float | None = None


class EvaluationDone(NamedTuple):
    """The metrics of one evaluation."""

    step: Annotated[int, whole, "steps completed"]
    epoch: Annotated[int | None, whole] = None
    split: Annotated[str | None, as_text, "`val` or `test`"] = None
    stage: Annotated[str | None, as_text, "`pixels`, `before`, `validation` or `final`"] = None
    trials: Annotated[int | None, whole] = None
    queries_without_match: Annotated[float | None, as_number, "mean over the trials"] = None
    metrics: Annotated[dict[str, float] | None, numbers, "the metrics of a report, means of the trials", SPREAD] = None
    t: float | None = None


class SystemReading(NamedTuple):
    """How busy the machine is."""

    step: Annotated[int, whole]
    cpu: Annotated[float | None, as_number, "share of all cores"] = None
    rss: Annotated[float | None, as_number, "bytes"] = None
    gpu_util: Annotated[float | None, as_number, "share"] = None
    gpu_memory: Annotated[float | None, as_number, "bytes"] = None
    gpu_power: Annotated[float | None, as_number, "watts"] = None
    t: float | None = None


class CheckpointWritten(NamedTuple):
    """A checkpoint is complete on the disk."""

    step: Annotated[int | None, whole, "steps completed"] = None
    epoch: Annotated[int | None, whole] = None
    path: Annotated[str | None, as_text, "in the run directory"] = None
    best: Annotated[bool, as_flag, "whether it is the best model"] = False
    t: float | None = None


class TrainerMessage(NamedTuple):
    """What the trainer reports to the user."""

    level: Annotated[str | None, as_text, "`info` or `warning`"] = None
    text: Annotated[str | None, as_text] = None
    t: float | None = None


class EndReason(NamedTuple):
    """Why a run ended. kind: `usage`, `nan`, `out_of_memory`, `disk`, `error`, `signal` or `process`."""

    kind: str = ""
    message: str = ""
    setting: str = ""
    traceback: str | None = None


def _reason(value: Any) -> EndReason | None:
    if isinstance(value, str):
        return EndReason(message=value)
    if not isinstance(value, dict):
        return None
    texts = {key: value[key] for key in EndReason._fields if isinstance(value.get(key), str)}
    return EndReason(**texts)


class RunEnded(NamedTuple):
    """The last event of an attempt."""

    status: Annotated[str | None, as_text, "`finished`, `stopped` or `failed`"] = None
    reason: Annotated[EndReason | None, _reason, "`kind`, `message`, `setting`, `traceback`"] = None
    summary: Annotated[dict[str, Any] | None, as_mapping, "of a finished run: its final report"] = None
    t: float | None = None


class UnknownEvent(NamedTuple):
    """An event of a newer version, or one without what its kind must have."""

    kind: str
    t: float | None = None


Event = (
    RunStarted
    | TrainingStep
    | PromptStep
    | EpochDone
    | EvaluationDone
    | SystemReading
    | CheckpointWritten
    | TrainerMessage
    | RunEnded
    | UnknownEvent
)
KINDS: dict[str, type[Any]] = {
    "started": RunStarted,
    "step": TrainingStep,
    "prompt": PromptStep,
    "epoch": EpochDone,
    "evaluation": EvaluationDone,
    "system": SystemReading,
    "checkpoint": CheckpointWritten,
    "message": TrainerMessage,
    "ended": RunEnded,
}
_KIND_OF = {kind: name for name, kind in KINDS.items()}
_FIELDS = {
    name: {each: known.__metadata__ for each, known in kind.__annotations__.items() if each != "t"}
    for name, kind in KINDS.items()
}
_READERS = {name: {each: how[0] for each, how in of.items() if SPREAD not in how} for name, of in _FIELDS.items()}
_SPREAD = {name: next((each for each, how in of.items() if SPREAD in how), None) for name, of in _FIELDS.items()}
_OF_A_STEP = tuple(_READERS["step"].items())[1:]
_NEEDS_STEP = {"step", "prompt", "epoch", "evaluation", "system"}
_OF_EVERY_LINE = {"v", "t", "kind"}


def documented(kind: str) -> list[str]:
    """The fields of a kind, each with what it means: the rows of the documentation."""
    about = {name: next(iter(how[1:2]), "") for name, how in _FIELDS[kind].items()}
    spread = _SPREAD[kind]
    return [text if name == spread else f"`{name}` ({text})" if text else f"`{name}`" for name, text in about.items()]


class EventWriter:
    """Appends events to one file. One writer a file; each line is one write to the operating system."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        self._lost = 0
        self._end = -1  # where our last line ended

    def write(self, event: Event) -> None:
        """Append an event. One without room on the disk is dropped; once there is room, a message says so."""
        if self._lost:
            text = f"The disk was full: {self._lost} event{'s were' if self._lost > 1 else ' was'} lost."
            if self._append(TrainerMessage("warning", text)):
                self._lost = 0
        if not self._append(event):
            self._lost += 1

    def _append(self, event: Event) -> bool:
        line = (dumps(as_object(event)) + "\n").encode()
        try:
            size = os.fstat(self._file).st_size
            if size and size != self._end and os.pread(self._file, 1, size - 1) != b"\n":
                line = b"\n" + line  # a torn line, of a killed writer or a full disk, must not swallow ours
            written = os.write(self._file, line)
            self._end = size + written if written == len(line) else -1
            return written == len(line)
        except OSError:
            return False

    def close(self) -> None:
        os.close(self._file)


def as_object(event: Event) -> dict[str, Any]:
    """The JSON object of an event; without a time of its own, it is of now."""
    kind = _KIND_OF[type(event)]
    line = {"v": VERSION, "t": 0.0, "kind": kind, **event._asdict()}
    line["t"] = round(time.time(), 3) if event.t is None else event.t
    if None in line.values():
        line = {name: value for name, value in line.items() if value is not None}
    if (spread := _SPREAD[kind]) in line:
        line |= line.pop(spread)
    if type(reason := line.get("reason")) is EndReason:
        line["reason"] = reason._asdict()
    return line


class Chunk(NamedTuple):
    """Complete lines read from `start` to `end` (byte offsets): the events, and how many lines were damaged."""

    events: list[Event]
    start: int
    end: int
    damaged: int


def read_events(path: Path, start: int = 0, limit: int = 16 << 20) -> Chunk:
    """Read the complete lines of `path` from byte `start`, about `limit` bytes of them at most.

    A line that is not a JSON object with a kind, or is longer than LONGEST_LINE, is counted as damaged and left out.
    `start` inside a line leaves out the rest of it. A missing file reads as empty.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, start - 1))
            in_line = start > 0 and file.read(1) != b"\n"
            block = file.read(limit)
            if len(block) == limit and b"\n" not in block:
                block += file.readline(max(0, LONGEST_LINE + 1 - limit))
    except FileNotFoundError:
        return Chunk([], start, start, 0)
    end = block.rfind(b"\n") + 1
    if not end and len(block) > LONGEST_LINE:
        end = len(block)  # nobody waits for the end of this line
    events, damaged = [], 0
    for line in block[:end].split(b"\n")[in_line:]:
        event = parse(line) if len(line) <= LONGEST_LINE else None
        if event is None:
            damaged += bool(line.strip())
        else:
            events.append(event)
    return Chunk(events, start, start + end, damaged)


def parse(line: bytes | str) -> Event | None:
    """The event of a line; None where that is not a JSON object with a kind."""
    try:
        text = (line if isinstance(line, str) else line.decode(errors="surrogatepass")).strip()
        raw, end = _DECODE(text)
    except (ValueError, RecursionError):
        return None
    if end != len(text) or not isinstance(raw, dict) or not isinstance(kind := raw.get("kind"), str):
        return None
    t = _moment(raw.get("t"))
    if kind == "step":
        return _training_step(raw, t)
    readers = _READERS.get(kind)
    if readers is None or ("trial" in raw and raw["trial"] != "mean"):  # a single trial is nobody's result
        return UnknownEvent(kind, t)
    values = {"t": t} | {name: readers[name](value) for name, value in raw.items() if name in readers}
    if kind in _NEEDS_STEP and values.get("step") is None:
        return UnknownEvent(kind, t)
    if spread := _SPREAD[kind]:
        others = {k: v for k, v in raw.items() if k not in readers and k not in _OF_EVERY_LINE and k != "trial"}
        values[spread] = numbers(others)
    event: Event = KINDS[kind](**values)
    return event


def _training_step(raw: dict[str, Any], t: float | None) -> TrainingStep | UnknownEvent:
    """What `parse` does for any kind, for the kind that nearly all lines are of: in two thirds of the time."""
    step = raw.get("step")
    if type(step) is not int or not 0 <= step < LARGEST:
        return UnknownEvent("step", t)
    return TrainingStep._make([step, *[read(raw[name]) if name in raw else None for name, read in _OF_A_STEP], t])


def _moment(value: Any) -> float | None:
    """Unix seconds; None where there are none."""
    return float(value) if type(value) in (int, float) and 0 <= value < LARGEST else None


def dumps(value: Any) -> str:
    """JSON with NaN and infinity as null: neither is JSON, and SQLite stores neither."""
    try:
        return _ENCODE(value)
    except ValueError:
        return _ENCODE(_finite(value))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
