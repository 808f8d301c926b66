"""The exceptions that mean something to whoever starts a run."""

from __future__ import annotations

import errno
import os


class UserError(Exception):
    """Something that the user can mend: one sentence that says what is wrong and the way out.

    `setting`: the dotted configuration key that the sentence is about, such as `train.lr`, where there is one. The
    sentence names no control of any front end: each adds its own (an option, a field). Every program turns the error
    into that sentence and exit status 2, without a traceback.
    """

    def __init__(self, message: str, setting: str = "") -> None:
        super().__init__(message)
        self.setting = setting


def is_full(error: Exception) -> bool:
    """Whether the error is of a full disk; torch and safetensors tell it in their text alone."""
    codes, text = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG), str(error)
    if getattr(error, "errno", None) in codes or any(os.strerror(code) in text for code in codes):
        return True
    return "No usable temporary directory" in text  # Python's tempfile could write in none


class LossNotFinite(Exception):
    """A loss became NaN or infinite: training cannot continue. `rate`: the setting of the learning rate in use."""

    def __init__(self, step: int, term: str, rate: str = "train.lr") -> None:
        super().__init__(f"the loss {term!r} is NaN or infinite at step {step}")
        self.step, self.term, self.rate = step, term, rate
