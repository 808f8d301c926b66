"""The one exception that a user's input may raise."""


class UserError(Exception):
    """Something that the user can mend: one sentence that says what is wrong and the way out.

    Every program turns it into that sentence on stderr and exit status 2, without a traceback.
    """
