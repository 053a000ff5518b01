"""The exception for a user's mistake, as opposed to a defect of the program."""


class UserError(Exception):
    """A mistake that the user can correct: one sentence on what was expected, what was found, where, and what to do.

    Stages print it and exit with status 1; the served model returns it with HTTP 400. Any other exception is a defect
    and keeps its stack trace.
    """
