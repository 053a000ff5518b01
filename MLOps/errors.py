"""Errors that are no defects: a user's mistake, Ctrl-C; and the words of a library on one line."""

INTERRUPTED = 130  # the exit status after Ctrl-C: 128 + SIGINT, by the shells' convention


class UserError(Exception):
    """A mistake that the user can correct: one sentence on what was expected, what was found, where, and what to do.

    Stages print it and exit with status 1; the served model returns it with HTTP 400. Any other exception is a defect
    and keeps its stack trace.
    """


def one_line(said: object, most: int = 160) -> str:
    """What a library or program said, on one line of at most `most` characters and a mark where it is cut."""
    words = " ".join(str(said).split())
    return words if len(words) <= most else f"{words[:most]}…"
