"""What a run is: every setting, resolved and checked. `config.json` holds one `RunConfig`. No torch here."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from engine.contract.choices import DataFormat, Gallery
from engine.contract.combos import Combo, combo_name, find_combo
from engine.contract.errors import UserError
from engine.contract.models import START_MODEL
from engine.contract.recipe import default_model, recipe
from engine.contract.start import is_start
from engine.contract.terms import TERMS, checked_options, find_term

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _as_list(value: Any) -> Any:
    """One name for a list of one."""
    return [value] if isinstance(value, str) else value


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def to_json(self, exclude: set[str] | None = None) -> str:
        """All values as JSON. In ASCII: pydantic's own writer fails on paths that are not UTF-8."""
        return json.dumps(self.model_dump(exclude=exclude))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The inverse of `to_json`. Raises ValueError."""
        return cls.model_validate(json.loads(text))


class DataConfig(Section):
    source: str = Field("synthetic", description="`synthetic`, or the folder of a data set")
    format: DataFormat = Field("auto", description="layout of the folder")
    identity_pattern: str | None = Field(
        None, max_length=500, description="regular expression whose group is the identity in an image's name"
    )
    subset: str = Field("auto", description="an aspect such as dorsal-right, or `all`; auto: the first available")
    gallery: Gallery = Field("all", description="merged gallery of all aspects, or the subset's own")
    split_seed: int = Field(0, ge=0, lt=2**32, description="seed of every random choice of the split")
    trials: int = Field(10, ge=1, le=100, description="random galleries that the final report averages over")
    division: Literal["published", "drawn"] = Field(
        "published", description="training and test people: the published division, or drawn by the split seed"
    )
    validation: Literal["images", "identities"] = Field(
        "images",
        description="images: one of each training identity, as published. identities: a fold of held-out people",
    )
    folds: int = Field(4, ge=2, le=100, description="folds of the training people, if validation is by identities")
    fold: int = Field(0, ge=0, le=99, description="the fold that is held out, from 0")

    @field_validator("identity_pattern")
    @classmethod
    def _has_a_group(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            compiled = re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"it is not a regular expression ({error})") from None
        if compiled.groups != 1 and "identity" not in compiled.groupindex:
            raise ValueError("it needs one group, such as ^([0-9]+)_, or a group named identity")
        return pattern

    @model_validator(mode="after")
    def _fold_exists(self) -> DataConfig:
        if self.fold >= self.folds:
            raise ValueError(f"fold is {self.fold}, but with {self.folds} folds the last is {self.folds - 1}")
        return self


class ModelConfig(Section):
    name: str = Field("ViT-B-16", description="image encoder of open_clip, handreid-tiny or handreid-small")
    pretrained: str = Field(
        "openai", description="tag of open_clip, weights file, run directory, `synthetic`, or `none`"
    )
    image_size: int | None = Field(
        None, ge=16, le=1024, description="pixels per side; empty: the encoder's native size"
    )
    branches: Literal["none", "mba", "parts"] = Field(
        "none", description="mba: the spatial and channel branches of MBA-Net; parts: feature maps by place"
    )
    aspect_embedding: NotNegative = Field(
        0.0, description="factor on a learned embedding of the aspect, added to the tokens; 0: none"
    )


class TrainConfig(Section):
    epochs: int = Field(60, ge=0, le=100_000, description="passes over the training images")
    ids_per_batch: int = Field(16, ge=2, le=4096, description="P: identities in a batch")
    images_per_id: int = Field(4, ge=1, le=256, description="K: images of each identity in a batch")
    optimizer: Literal["adam", "adamw"] = Field("adam", description="optimizer of encoder and heads")
    lr: Positive = Field(5e-6, description="learning rate of the encoder")
    head_lr: Positive = Field(5e-5, description="learning rate of necks and classifiers")
    weight_decay: NotNegative = Field(1e-4, description="weight decay; never on biases and norms")
    schedule: Literal["cosine", "step", "constant"] = Field("step", description="decay of the learning rates")
    warmup_epochs: NotNegative = Field(10, description="linear warm-up of the rates")
    warmup_from: Fraction = Field(0.1, description="factor on the rates at the first step of the warm-up")
    milestones: list[NotNegative] = Field([30, 50], description="epochs at which `step` decays")
    decay: Fraction = Field(0.1, description="factor of each step decay")
    freeze: Annotated[list[str], BeforeValidator(_as_list)] = Field(
        [], description="encoder weights that are not trained: all-but-last-N (blocks), or names with *"
    )
    layer_decay: float = Field(1.0, gt=0, le=1, description="factor on the rate from each block to the one before it")
    ema: float = Field(0.0, ge=0, lt=1, description="decay of the averaged weights that are evaluated; 0: none")
    clip_norm: NotNegative = Field(5.0, description="largest norm of the gradient; 0: no clipping")
    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: bfloat16 where it is fast")
    compile: bool = Field(False, description="compile the encoder with torch.compile")
    deterministic: bool = Field(False, description="deterministic algorithms on a GPU (slower)")
    checkpoint_every: Positive = Field(
        60.0, description="seconds between checkpoints; the first is written after one epoch"
    )


class PromptConfig(Section):
    """The first stage of a combination that learns a text for each identity. Without effect on any other."""

    epochs: int = Field(120, ge=1, le=100_000, description="first stage: passes over the training images")
    batch: int = Field(64, ge=2, le=65_536, description="first stage: images in a batch")
    lr: Positive = Field(3.5e-4, description="first stage: learning rate of the words, after its warm-up")
    weight_decay: NotNegative = Field(1e-4, description="first stage: weight decay of the words")
    aspect: bool = Field(
        False, description="first stage: prompts that name the aspect, such as the back of a left hand"
    )


class AugmentConfig(Section):
    flip: Fraction = Field(0.5, description="probability of a horizontal flip")
    pad: int = Field(10, ge=0, le=256, description="random shift, in pixels to each side")
    erase: Fraction = Field(0.5, description="probability of erasing a random box")
    jitter: Fraction = Field(0.0, description="largest change of brightness and contrast, as a fraction")
    rotate: float = Field(0.0, ge=0, le=180, description="largest rotation to each side, in degrees")
    zoom: float = Field(0.0, ge=0, le=0.9, description="largest change of scale, as a fraction")


class EvaluationConfig(Section):
    feature: Literal["before", "after"] = Field("before", description="feature before or after the BN neck")
    flip: bool = Field(False, description="add the feature of the mirrored image")
    every: int = Field(1, ge=1, description="epochs between validations")
    rerank: bool = Field(False, description="k-reciprocal re-ranking of the test; such runs have a table of their own")
    test: bool = Field(
        True, description="evaluate on the test people; false: do not read them, as in trials of a sweep"
    )


class RunConfig(Section):
    """One run: one training of one combo with one seed."""

    version: Literal[1] = 1
    combo: str
    loss: dict[str, dict[str, float | str]] = Field(description="the terms of the combo, each with weight and options")
    seed: int = Field(0, ge=0, lt=2**32)
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    prompts: PromptConfig = PromptConfig()
    train: TrainConfig = TrainConfig()
    augment: AugmentConfig = AugmentConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads; empty: all cores")

    @field_validator("combo")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not name or len(name) > 200 or not all(c.isalnum() or c in "_+-:.()=, " for c in name):
            raise ValueError("a combination's name may contain letters, digits and _ + - : . only")
        return name

    @field_validator("loss")
    @classmethod
    def _known_terms(cls, loss: dict[str, dict[str, float | str]]) -> dict[str, dict[str, float | str]]:
        if unknown := loss.keys() - TERMS.keys():
            raise ValueError(f"there is no loss term {min(unknown)!r}")
        return {term: checked_options(term, options) for term, options in loss.items()}

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self.model_dump(), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> RunConfig:
        """Read `config.json`. Raises UserError where it is missing, not JSON, or holds a wrong value."""
        try:
            return cls.model_validate(json.loads(path.read_text()))
        except FileNotFoundError:
            raise UserError(f"There is no configuration at {path}.") from None
        except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise UserError(f"{path} cannot be read as a configuration: {error}.") from None
        except ValidationError as error:
            raise UserError(f"{path}: {_first_mistake(error)}") from None


def resolve(combo: str, seed: int = 0, own: dict[str, Combo] | None = None, /, **settings: Any) -> RunConfig:
    """The whole configuration of a run from what the user set.

    `settings` holds dotted keys (`{"train.epochs": 3}`); the rest comes from the recipes of combo and model.
    Raises UserError, in one sentence, on an unknown combo or key or a value out of range.
    """
    if given := settings.keys() & {"combo", "seed", "version"}:
        raise UserError(f"{min(given)!r} cannot be set like other settings: use the option for it.")
    combo = combo_name(combo, own)
    found = find_combo(combo, own)
    settings = {setting_name(key): value for key, value in settings.items()}
    source = settings.get("data.source", "synthetic")
    from_start = is_start(str(settings.get("model.pretrained", "")))
    model = settings.get("model.name") or (START_MODEL if from_start else default_model(source))
    published = recipe(str(model), found.recipe) | found.settings
    loss: dict[str, dict[str, Any]] = {
        term: {"weight": weight} | _options(published, term) | found.options.get(term, {})
        for term, weight in found.weights.items()
    }
    published = {key: value for key, value in published.items() if not key.startswith("loss.")}
    merged = {"combo": combo, "seed": seed} | published | settings | {"model.name": model}
    if source == "synthetic":
        merged.setdefault("data.gallery", "own")  # one aspect is drawn, so there is nothing to merge
    if not loss:
        merged["train.epochs"] = 0
    nested: dict[str, Any] = {"loss": loss}
    for key, value in merged.items():
        if concerns(key, loss):
            _put(nested, key, value)
    try:
        config = RunConfig.model_validate(nested)
    except ValidationError as error:
        raise _first_mistake(error) from None
    pairwise = next((term for term in config.loss if TERMS[term].needs_pairs), None)
    if pairwise and config.train.images_per_id < 2:
        raise UserError(
            f"{pairwise} compares images of one identity: a batch needs at least 2 images of each.",
            "train.images_per_id",
        )
    return config


def _options(settings: dict[str, Any], term: str) -> dict[str, Any]:
    """The options of a term among dotted settings."""
    prefix = f"loss.{term}."
    return {key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)}


def concerns(key: str, loss: Collection[str]) -> bool:
    """Whether a setting has a meaning for these terms: not an option of another term, nor one of another's stage."""
    section, _, rest = key.partition(".")
    if section == "loss":
        return rest.split(".")[0] in loss
    return section != "prompts" or learns_texts(loss)


def learns_texts(loss: Collection[str]) -> bool:
    """Whether a combination of these terms has a first stage, which learns a text for each identity."""
    return any(TERMS[term].texts == "learnt" for term in loss)


def setting_name(key: str) -> str:
    """The key as it is written in a configuration: a term of the loss by its own name."""
    section, _, rest = key.partition(".")
    word, _, option = rest.partition(".")
    if section == "loss" and (term := find_term(word)):
        return f"loss.{term}.{option}"
    return key


def with_settings(config: RunConfig, settings: dict[str, Any]) -> RunConfig:
    """`config` with other values of some dotted keys. Raises UserError on an unknown key or a value out of range."""
    nested = config.model_dump()
    for key, value in settings.items():
        _put(nested, key, value)
    try:
        return RunConfig.model_validate(nested)
    except ValidationError as error:
        raise _first_mistake(error) from None


def _put(nested: dict[str, Any], key: str, value: Any) -> None:
    *parents, leaf = key.split(".")
    for parent in parents:
        nested = nested.setdefault(parent, {})
        if not isinstance(nested, dict):
            raise UserError(f"There is no setting {key!r}. See `handreid run --help`.")
    nested[leaf] = value


def parse_setting(text: str) -> tuple[str, Any]:
    """`KEY=VALUE` of the command line as key and value; the value is read as JSON where it is JSON.

    Raises UserError where there is no `=` or no such key.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"A setting is written KEY=VALUE, but got {text!r}.")
    known, key = setting_keys(), setting_name(key)
    if key not in known and not key.startswith("loss."):
        near = difflib.get_close_matches(key, known, n=1)
        raise UserError(f"There is no setting {key!r}.{f' Did you mean {near[0]!r}?' if near else ''}")
    try:
        return key, json.loads(value)
    except (json.JSONDecodeError, RecursionError):
        return key, value


def setting_keys() -> dict[str, str]:
    """Every dotted configuration key with its description."""
    keys: dict[str, str] = {}
    for name, info in RunConfig.model_fields.items():
        section = info.annotation
        if isinstance(section, type) and issubclass(section, Section):
            keys |= {f"{name}.{key}": inner.description or "" for key, inner in section.model_fields.items()}
        elif name not in ("version", "combo", "loss"):
            keys[name] = info.description or ""
    return keys


def flatten(config: RunConfig) -> dict[str, Any]:
    """The configuration as dotted keys and plain values, for tables and differences."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else key, inner)
        else:
            flat[prefix] = value

    walk("", config.model_dump())
    return flat


def _first_mistake(error: ValidationError) -> UserError:
    mistake = error.errors()[0]
    key = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, setting_keys(), n=1)
        return UserError(f"There is no setting {key!r}.{f' Did you mean {near[0]!r}?' if near else ''}")
    reason = mistake["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if mistake["type"] == "string_pattern_mismatch" and key in setting_keys():
        reason = f"should be {setting_keys()[key]}"
    given = "" if isinstance(mistake["input"], dict) else f" {mistake['input']!r}"
    return UserError(f"{key}{given}: {reason}.", key if key in setting_keys() else "")
