"""The end of a stage by Ctrl-C: one sentence, status 130, no stack trace."""

import sys
from multiprocessing import parent_process
from types import TracebackType

from MLOps.errors import INTERRUPTED

SENTENCE = "interrupted; `dvc repro` continues where it stopped"


def install() -> None:
    """Let an uncaught KeyboardInterrupt end the process so, wherever it is raised, imports included."""
    shown = sys.excepthook

    def end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            shown(kind, error, trace)
            return
        # Ctrl-C reaches all processes of a terminal; one of them says so.
        if parent_process() is None:
            print(SENTENCE, file=sys.stderr)
        # Python would end itself by the signal, which DVC reports as status -2.
        sys.exit(INTERRUPTED)

    sys.excepthook = end
