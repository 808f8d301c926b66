"""Runs, tags and configurations as tables, and which metric stands in which column of a run."""

from __future__ import annotations

from sqlmodel import Field, SQLModel

# column of a run -> (metric, what of its summary)
METRIC_COLUMNS = {
    "total": ("total", "last"),
    "images_per_s": ("images_per_s", "last"),
    "val_rank1": ("val/rank1", "last"),
    "val_mAP": ("val/mAP", "last"),
    "best_val_mAP": ("val/mAP", "max"),
    "rank1": ("test/rank1", "last"),
    "rank5": ("test/rank5", "last"),
    "rank10": ("test/rank10", "last"),
    "mAP": ("test/mAP", "last"),
    "mAP_trapezoid": ("test/mAP_trapezoid", "last"),
    "mINP": ("test/mINP", "last"),
    "eer": ("test/eer", "last"),
    "auc": ("test/auc", "last"),
    "tar_at_far_1e3": ("test/tar_at_far_1e3", "last"),
    "before_rank1": ("before/rank1", "last"),
    "before_mAP": ("before/mAP", "last"),
    "pixels_rank1": ("pixels/rank1", "last"),
    "pixels_mAP": ("pixels/mAP", "last"),
    "geometry_intra": ("geometry/intra", "last"),
    "geometry_inter": ("geometry/inter", "last"),
    "geometry_ratio": ("geometry/ratio", "last"),
    "geometry_hard_gap": ("geometry/hard_gap", "last"),
    "geometry_angle": ("geometry/angle", "last"),
    "test_geometry_intra": ("test/geometry/intra", "last"),
    "test_geometry_inter": ("test/geometry/inter", "last"),
    "test_geometry_ratio": ("test/geometry/ratio", "last"),
    "test_geometry_hard_gap": ("test/geometry/hard_gap", "last"),
    "test_geometry_angle": ("test/geometry/angle", "last"),
}


class Run(SQLModel, table=True):
    """One run as the lists show it. Times are Unix seconds; accuracies are fractions."""

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
    best_epoch: int | None = None
    damaged: int = 0

    sweep: int | None = None
    role: str = ""
    trial: int | None = None

    total: float | None = None
    images_per_s: float | None = None
    val_rank1: float | None = None
    val_mAP: float | None = None
    best_val_mAP: float | None = None
    rank1: float | None = None
    rank5: float | None = None
    rank10: float | None = None
    mAP: float | None = None
    mAP_trapezoid: float | None = None
    mINP: float | None = None
    eer: float | None = None
    auc: float | None = None
    tar_at_far_1e3: float | None = None
    before_rank1: float | None = None
    before_mAP: float | None = None
    pixels_rank1: float | None = None
    pixels_mAP: float | None = None
    geometry_intra: float | None = None
    geometry_inter: float | None = None
    geometry_ratio: float | None = None
    geometry_hard_gap: float | None = None
    geometry_angle: float | None = None
    test_geometry_intra: float | None = None
    test_geometry_inter: float | None = None
    test_geometry_ratio: float | None = None
    test_geometry_hard_gap: float | None = None
    test_geometry_angle: float | None = None


class Tag(SQLModel, table=True):
    run: int = Field(primary_key=True, foreign_key="run.number", ondelete="CASCADE")
    tag: str = Field(primary_key=True)


class Configuration(SQLModel, table=True):
    """One setting of a run: a dotted key and its value as JSON."""

    run: int = Field(primary_key=True, foreign_key="run.number", ondelete="CASCADE")
    key: str = Field(primary_key=True)
    value: str
