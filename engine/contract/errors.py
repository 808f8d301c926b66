"""The exceptions that mean something to whoever starts a run."""

from __future__ import annotations


class UserError(Exception):
    """Something that the user can mend: one sentence that says what is wrong and the way out.

    `setting`: the dotted configuration key that the sentence is about, such as `train.lr`, where there is one. The
    sentence names no control of any front end: each adds its own (an option, a field). Every program turns the error
    into that sentence and exit status 2, without a traceback.
    """

    def __init__(self, message: str, setting: str = "") -> None:
        super().__init__(message)
        self.setting = setting


class LossNotFinite(Exception):
    """A loss became NaN or infinite: training cannot continue."""

    def __init__(self, step: int, term: str) -> None:
        super().__init__(f"the loss {term!r} is not a number at step {step}")
        self.step, self.term = step, term
