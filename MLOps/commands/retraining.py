"""Retraining: new bars, the pipeline, what it changed, and a commit of it."""

import re
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from MLOps.artifacts import read_json, write_text
from MLOps.commands.changes import PARAMS, changes
from MLOps.commands.git import git
from MLOps.commands.processes import run
from MLOps.config.data import DOWNLOADED
from MLOps.config.params import load_params, parse_yaml
from MLOps.data.sources import configured_files
from MLOps.errors import UserError, one_line
from MLOps.imports import PACKAGE
from MLOps.pipelines import paths
from MLOps.pipelines.dvc_files import recover

REPORT = Path("reports/retraining.md")  # what the last one changed
# The line of `end` in the section `data`: a library that writes YAML would lay the file out anew.
DATA_END = re.compile(r"^(data:\n(?:[ #].*\n|\n)*?  end: +)[^\s#]+", flags=re.MULTILINE)
# What a retraining changes of what Git tracks.
COMMITTED = (PARAMS, Path("dvc.lock"), paths.HEADLINES)
TITLE = "Retrain"  # the first word of its commits


def retrain(until: date | None, commit: bool, push: bool) -> str:
    """Run the pipeline on the newest bars.

    A remote of DVC, if there is one, is asked for what another machine has computed, and is given what this one has.
    Every step may be repeated, so that after a failure the same command goes on.

    Args:
        until: the day after the last one to use, today if None. Of a source that downloads; others have the bars that
            their files have.
        commit: commit dvc.lock, params.yaml and the figures, if they changed.
        push: also push the commit to the branch that this one follows.

    Returns:
        What changed against the last commit, in Markdown; it is in reports/retraining.md too.

    Raises:
        UserError: a step failed.
    """
    for sentence in recover():
        print(f"retrain: {sentence}")
    _refuse_other_changes(commit, push)
    if load_params().data.source in DOWNLOADED:
        extend(PARAMS, until or datetime.now(UTC).date())
    has_remote = bool(_asked("dvc", "remote", "list"))
    if has_remote:
        # The run cache has what others computed of states that they did not commit.
        # Forced, because a stage that refused has left files that DVC does not know. Outputs of stages alone: it would
        # replace new bars by those of the last `dvc add`.
        _step("dvc", "pull", "--run-cache", "--allow-missing", "--force", "dvc.yaml")
    for added in _added_to_dvc():
        _step("dvc", "add", str(added.with_suffix("")))
    _step("dvc", "repro")
    report = changes("HEAD")
    write_text(REPORT, report)
    if has_remote:
        _step("dvc", "push", "--run-cache")
    changed = _tracked()
    if commit and git("status", "--porcelain", "--", *changed):
        _step("git", "add", "--", *changed)
        _step("git", "commit", "--quiet", "--message", f"{_title()}\n\n{report}", "--", *changed)
    if push:
        _step("git", "push", "--quiet")
    return report


def _added_to_dvc() -> list[Path]:
    """The files with which DVC keeps the source's, where `dvc add` has been told to."""
    named = [path.with_name(f"{path.name}.dvc") for path in configured_files(load_params().data).values()]
    return [path for path in named if path.exists()]


def _tracked() -> list[str]:
    """The files that a retraining commits: COMMITTED, and those of the source, of folders that Git tracks also the new
    ones."""
    given: list[str] = []
    for source in map(str, configured_files(load_params().data).values()):
        if known := git("ls-files", "--", source).splitlines():
            given += [*known, *git("ls-files", "--others", "--exclude-standard", "--", source).splitlines()]
    return [*(str(path) for path in (*COMMITTED, *_added_to_dvc()) if path.exists()), *given]


def _refuse_other_changes(commit: bool, push: bool) -> None:
    """Refuse to commit figures of code that is not committed, and to push what is no retraining.

    Raises:
        UserError: there are such changes.
    """
    others = [".", *(f":(exclude){path}" for path in _tracked())]
    changed = git("diff", "--name-only", "HEAD", "--", *others).splitlines() if commit else []
    if commit:
        changed += git("ls-files", "--others", "--exclude-standard", "--", PACKAGE).splitlines()
        if _without_end(git("show", f"HEAD:./{PARAMS}")) != _without_end(PARAMS.read_text()):
            changed.append(f"{PARAMS}, beside data.end")
    if changed:
        raise UserError(f"{changed[0]}: expected no change but those of a retraining; commit or stash it first")
    unpushed = git("log", "--format=%s", "@{upstream}..").splitlines() if push else []
    if titles := [title for title in unpushed if not title.startswith(TITLE)]:
        raise UserError(f"--push: expected no unpushed commit but retrainings, found {titles[0]!r}; push it first")


def _without_end(params: str) -> Any:
    values = parse_yaml(params)
    return {**values, "data": {**values["data"], "end": None}}


def extend(params: Path, until: date) -> None:
    """Set `data.end` of params.yaml to `until` if it is earlier; comments and layout stay."""
    text = params.read_text()
    if str(parse_yaml(text)["data"]["end"]) >= until.isoformat():
        return
    longer, found = DATA_END.subn(rf'\g<1>"{until.isoformat()}"', text, count=1)
    if not found or parse_yaml(longer)["data"]["end"] != until.isoformat():
        raise UserError(f'{params}: data.end: expected a line of its own; write it as `  end: "{until}"`')
    write_text(params, longer)


def _title() -> str:
    if not paths.VERDICT.exists():
        return TITLE  # the rows of a labelled table have no times
    end = read_json(paths.SPLITS)["test"]["end"][:10]
    verdict = read_json(paths.VERDICT)
    return f"{TITLE} on bars until {end}: gate {'passed' if verdict['promoted'] else 'refused'}"


def _step(program: str, *words: str) -> None:
    command = [sys.executable, "-m", program, *words] if program == "dvc" else [program, *words]
    shown = f"{program} {words[0]}"
    print(f"retrain: {shown}", flush=True)
    if status := run(command, stdout=sys.stderr):
        raise UserError(f"`{shown}` ended with status {status}; mend what it says, then `make retrain` goes on")


def _asked(program: str, *words: str) -> str:
    done = subprocess.run([sys.executable, "-m", program, *words], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"`{program} {' '.join(words)}` failed: {one_line(done.stderr)}; mend it, run again")
    return done.stdout.strip()
