"""The end of a stage on a user's mistake or a fault of the machine: one sentence, status 1, no stack trace."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from MLOps.errors import UserError
from MLOps.faults import fault


@contextmanager
def exit_with_sentence(stage: str) -> Iterator[None]:
    """Turn a UserError, and a fault of machine or store, into one sentence on standard error and exit status 1."""
    try:
        yield
    except Exception as error:
        sentence = str(error) if isinstance(error, UserError) else fault(error)
        if sentence is None:
            raise
        print(f"{stage}: {sentence}", file=sys.stderr)
        raise SystemExit(1) from None
