"""The command line's control for each setting that an error may be about."""

from __future__ import annotations

from engine.contract.errors import UserError

OPTIONS = {
    "data.source": "--data",
    "data.format": "--format",
    "data.subset": "--subset",
    "data.identity_pattern": "--identity-pattern",
    "data.gallery": "--gallery",
    "model.name": "--model",
    "model.pretrained": "--pretrained",
    "train.epochs": "--epochs",
    "train.ids_per_batch": "--ids-per-batch",
    "train.images_per_id": "--images-per-id",
    "train.lr": "--lr",
    "device": "--device",
    "gpus": "--gpus",
    "parallel": "--parallel",
}


def with_option(message: str, setting: str) -> str:
    """The sentence with the option of `setting` at its end; as it is where it is about no setting.

    A question stays the last word: `There is no model x (--model). Did you mean y?`
    """
    if not setting:
        return message
    option = OPTIONS.get(setting, f"--set {setting}=…")
    before, stop, question = message.rpartition(". ")
    if stop and question.endswith("?"):
        return f"{before} ({option}). {question}"
    return f"{message.removesuffix('.')} ({option})."


def sentence(error: UserError) -> str:
    """What the command line prints of a user's mistake."""
    return with_option(str(error), error.setting)
