"""The one exception that stands for a user's mistake rather than a defect of the program."""


class UserError(Exception):
    """A mistake the user can mend: one sentence that says what was expected, what was found, where, and what to do.

    Stages print it and exit with status 1; the served model answers it with HTTP 400. Anything else that is
    raised is a defect and keeps its stack trace.
    """
