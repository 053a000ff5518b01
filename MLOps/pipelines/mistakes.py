"""A user's mistake ends a stage with one sentence."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from MLOps.errors import UserError


@contextmanager
def mistakes_told(stage: str) -> Iterator[None]:
    """Turn a UserError into one sentence on standard error and exit status 1."""
    try:
        yield
    except UserError as error:
        print(f"{stage}: {error}", file=sys.stderr)
        raise SystemExit(1) from None
