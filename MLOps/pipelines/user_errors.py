"""The end of a stage on a user's mistake: one sentence, status 1, no stack trace."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from MLOps.errors import UserError


@contextmanager
def exit_on_user_error(stage: str) -> Iterator[None]:
    """Turn a UserError into one sentence on standard error and exit status 1."""
    try:
        yield
    except UserError as error:
        print(f"{stage}: {error}", file=sys.stderr)
        raise SystemExit(1) from None
