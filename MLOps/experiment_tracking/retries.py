"""Writes to a store that others write to at the same moment, tried again where the database refuses them."""

import random
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

T = TypeVar("T")

LONGEST_S = 60.0  # of waiting in all; SQLite itself waits 20 s for a lock
FIRST_PAUSE_S = 0.05  # doubled by each refusal, and drawn at random below that, so that writers part
LONGEST_PAUSE_S = 2.0
# MLflow reads whether a row is there and then inserts it; of two that do so at once the database refuses one. It rolls
# the whole write back, so that a repetition writes nothing twice.
REFUSALS = ("IntegrityError", "UniqueViolation", "UNIQUE constraint", "database is locked", "Giving up after")
WRITES = (
    "create_run",
    "delete_model_version",
    "delete_model_version_tag",
    "log_batch",
    "log_inputs",
    "set_model_version_tag",
    "set_registered_model_alias",
    "set_tag",
    "set_terminated",
    "update_model_version",
    "update_registered_model",
)


def retried(write: Callable[[], T]) -> T:
    """The result of `write`, called again while the store refuses it because of another's write.

    Raises:
        MlflowException: any other error, or that of the last attempt.
    """
    give_up, pause = time.monotonic() + LONGEST_S, FIRST_PAUSE_S
    while True:
        try:
            return write()
        except MlflowException as error:
            if time.monotonic() > give_up or not any(words in str(error) for words in REFUSALS):
                raise
        time.sleep(random.uniform(0, pause))
        pause = min(2 * pause, LONGEST_PAUSE_S)


class RetryingClient(MlflowClient):
    """A client whose writes are `retried`."""


def _retried_method(name: str) -> Callable[..., Any]:
    method = getattr(MlflowClient, name)

    @wraps(method)
    def call(self: MlflowClient, *args: Any, **kwargs: Any) -> Any:
        return retried(lambda: method(self, *args, **kwargs))

    return call


for _name in WRITES:
    setattr(RetryingClient, _name, _retried_method(_name))
