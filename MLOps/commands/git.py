"""Git, asked about the repository that a command runs in."""

import subprocess

from MLOps.errors import UserError, one_line


def git(*words: str, wrong: str | None = None) -> str:
    """What `git WORDS` prints.

    Raises:
        UserError: Git refuses; the sentence is `wrong`, or what Git says.
    """
    done = subprocess.run(["git", *words], capture_output=True, text=True)
    if done.returncode:
        raise UserError(wrong or f"git {words[0]}: {one_line(done.stderr)}; mend that, and run the same command again")
    return done.stdout.strip()
