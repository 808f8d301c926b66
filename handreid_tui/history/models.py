"""Runs, tags and configurations as tables. The columns of metrics are added from `engine.contract.metrics`."""

from __future__ import annotations

from sqlalchemy import Column, Float
from sqlmodel import Field, SQLModel

from engine.contract.metrics import metric_columns


class Run(SQLModel, table=True):
    """One run as the lists show it, without its metrics. Times are Unix seconds."""

    number: int = Field(primary_key=True)
    path: str
    name: str
    note: str
    archived: bool
    created: float

    combo: str
    seed: int
    dataset: str
    subset: str
    gallery: str
    fingerprint: str = ""
    reranked: bool = False
    model: str
    pretrained: str
    device: str
    host: str = ""
    epochs: int | None = None
    steps: int | None = None

    status: str
    reason: str
    stalled: bool
    started: float | None = None
    ended: float | None = None
    last_event: float | None = None
    seconds: float | None = None
    epoch: int | None = None
    step: int | None = None
    prompt_epochs: int | None = None  # of the first stage, where there is one
    prompt_steps: int | None = None
    prompt_step: int | None = None
    prompt_seconds: float | None = None
    in_prompts: bool = False  # whether it is in the first stage now
    best_epoch: int | None = None
    damaged: int = 0

    sweep: int | None = None
    role: str = ""
    trial: int | None = None


for _name in metric_columns():
    SQLModel.metadata.tables["run"].append_column(Column(_name, Float))


class Tag(SQLModel, table=True):
    run: int = Field(primary_key=True, foreign_key="run.number", ondelete="CASCADE")
    tag: str = Field(primary_key=True)


class Configuration(SQLModel, table=True):
    """One setting of a run: a dotted key and its value as JSON."""

    run: int = Field(primary_key=True, foreign_key="run.number", ondelete="CASCADE")
    key: str = Field(primary_key=True)
    value: str
