"""Stages and DVC killed at random times, again and again: the same bytes in the end, and nothing to clean by hand."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from mlflow.entities import ViewType

from MLOps.artifacts import PARTIAL
from tests.pipelines.test_repro import ALL_STAGES, ALWAYS
from tests.project import SMALL, Project, environment

TWO_WINDOWS = {**SMALL, "walk_forward.windows": 2, "execution": {"kind": "processes", "workers": 2}}
BEFORE = "before the first stage"
PLACES = [BEFORE, *ALL_STAGES]
LONG = ["train_predictor@lstm", "train_agent@ppo", "walk_forward", "promote"]  # get twice the kills of others
POLL_S = 0.02
LATEST = 0.8  # share of a length
PATIENCE_S = 600  # for a stage, and for DVC to end after its stage was killed
ORPHANS_S = 60  # for what a killed process has started to end by itself


class Repro:
    """A `dvc repro`, or what is left of it, in a process group of its own."""

    def __init__(self, project: Project) -> None:
        self.dvc = subprocess.Popen(
            [sys.executable, "-m", "dvc", "repro"],
            cwd=project.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.place, self.since = BEFORE, time.monotonic()
        self.lines: list[str] = []
        self._process: psutil.Process | None = None
        self._sought = BEFORE
        self.orphans: list[psutil.Process] = []  # what ran below it when it was killed
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.dvc.stdout is not None
        for line in self.dvc.stdout:
            self.lines.append(line)
            if line.startswith("Running stage"):
                self.place, self.since = line.split("'")[1], time.monotonic()

    def runs(self) -> bool:
        return self.dvc.poll() is None

    def stage(self) -> psutil.Process | None:
        """The process of the stage that runs; None while DVC reads, saves or has not started it yet."""
        if self._sought != self.place:
            self._sought, self._process = self.place, None
        if self._process is None and self.place != BEFORE:
            module = f"MLOps.pipelines.{self.place.partition('@')[0]}"
            self._process = next((one for one in self.below() if module in words_of(one)), None)
        return self._process if self._process is not None and is_alive(self._process) else None

    def has_ended_stage(self) -> bool:
        return self.stage() is None and self._process is not None

    def below(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.dvc.pid).children(recursive=True)
        except psutil.Error:
            return []


def words_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@dataclass
class Lengths:
    """Seconds from the start of a stage to its end, and from there to the start of the next: DVC saves."""

    stage: float
    saving: float


@dataclass(frozen=True)
class Plan:
    """When to kill whom: `moment` is the share of the stage's length, or from 1 to 2 that of DVC's saving after it."""

    who: str
    moment: float


def undisturbed(project: Project) -> dict[str, Lengths]:
    """A `dvc repro` to the end, and how long its stages take."""
    began = time.monotonic()
    repro = Repro(project)
    place, since, ended = BEFORE, began, 0.0
    lengths: dict[str, Lengths] = {}
    while True:
        runs = repro.runs()
        if repro.place != place or not runs:
            now = time.monotonic()
            lengths[place] = Lengths((ended or now) - since, now - (ended or now))
            place, since, ended = repro.place, repro.since, 0.0
            if not runs:
                break
        if not ended and repro.has_ended_stage():
            ended = time.monotonic()
        time.sleep(POLL_S)
    assert repro.dvc.returncode == 0, "".join(repro.lines)
    return lengths


def plans(kills: int, chance: random.Random) -> dict[str, list[Plan]]:
    """For each place its share of the kills, spread over its whole length, those while DVC saves last."""
    dealt = [*PLACES, *LONG]
    shares = Counter(dealt[number % len(dealt)] for number in range(kills))
    whom = ["stage", "dvc", "both"]
    chance.shuffle(whom)
    turns, chosen = cycle(whom), {}
    for place, share in shares.items():
        saving = 0 if place == BEFORE else (share + 1) // 3
        during = share - saving
        # Not the last part: that a stage is over sooner than the undisturbed one would leave its kill to the next.
        moments = [LATEST * (number + chance.random()) / during for number in range(during)]
        chance.shuffle(moments)
        chosen[place] = [Plan("dvc" if place == BEFORE else next(turns), moment) for moment in moments]
        chosen[place] += [Plan("dvc", 1 + LATEST * chance.random()) for _ in range(saving)]
    return chosen


def wait_and_kill(repro: Repro, place: str, plan: Plan, lengths: dict[str, Lengths]) -> str | None:
    """Kill at the planned moment of the stage at `place`, or when it is over; what was hit, None if nothing was."""
    length, ended = lengths[place], 0.0
    while repro.runs() and repro.place == place:
        now = time.monotonic()
        if not ended and repro.has_ended_stage():
            ended = now
        share = plan.moment - 1 if plan.moment > 1 else plan.moment
        if ended and now >= ended + share * length.saving:
            break
        if plan.moment <= 1 and not ended and now >= repro.since + plan.moment * length.stage:
            break
        time.sleep(POLL_S)
    stage, at, where = repro.stage(), time.monotonic() - repro.since, repro.place
    repro.orphans = repro.below()
    if not repro.runs():
        return None
    if plan.who == "stage" and stage is not None:
        stage.send_signal(signal.SIGKILL)
        hit = "stage"
    elif plan.who == "both":
        os.killpg(repro.dvc.pid, signal.SIGKILL)
        hit = "both" if stage is not None else "DVC"
    else:
        os.kill(repro.dvc.pid, signal.SIGKILL)
        hit = "DVC"
    doing = "while it ran" if stage is not None else "while DVC saved" if ended else "while DVC worked"
    return f"{where:28} {hit:6} after {at:5.1f} s {doing}"


def next_place(left: dict[str, list[Plan]], repro: Repro, chance: random.Random) -> Iterator[str]:
    """The place of the next kill: now and then one that every `dvc repro` passes, else the first with kills left."""
    total = sum(map(len, left.values()))
    for place in (BEFORE, "prepare"):
        if left.get(place) and chance.random() < 2 * len(left[place]) / total:
            while repro.runs() and repro.place == BEFORE != place:
                time.sleep(POLL_S)
            yield place
            return
    while repro.runs():
        if repro.place not in (BEFORE, "prepare"):
            pass_on(left, repro.place, chance)
            if left.get(repro.place):
                yield repro.place
                return
        time.sleep(POLL_S)


def pass_on(left: dict[str, list[Plan]], place: str, chance: random.Random) -> None:
    """Leave to `place` and those after it the kills of stages before it that have ended and do not run again."""
    number = PLACES.index(place)
    for passed in PLACES[:number]:
        if passed not in (BEFORE, *ALWAYS):
            for plan in left.pop(passed, []):
                left.setdefault(chance.choice(PLACES[number:]), []).append(plan)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, Lengths]]:
    project = Project.copy(tmp_path_factory.mktemp("undisturbed") / "project")
    project.update(TWO_WINDOWS)
    return project, undisturbed(project)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "kills"), [(1, 50), (2, 50)])
def test_kills_anywhere_end_with_the_same_bytes(
    seed: int, kills: int, reference: tuple[Project, dict[str, Lengths]], tmp_path: Path
) -> None:
    whole, lengths = reference
    project = Project.copy(tmp_path / "project")
    project.update(TWO_WINDOWS)
    chance = random.Random(seed)
    left = plans(kills, chance)
    fell: list[str] = []
    recovered: list[str] = []
    orphans: list[psutil.Process] = []
    while len(fell) < kills:
        for sentence in project.run("MLOps", "recover").stdout.splitlines():
            recovered.append(sentence)
            print(f"     {sentence}", flush=True)
        repro = Repro(project)
        hit = None
        for place in next_place(left, repro, chance):
            plan = left[place].pop(0)
            hit = wait_and_kill(repro, place, plan, lengths)
            if hit is None:
                left[place].append(plan)
            else:
                fell.append(hit)
                print(f"{len(fell):4} {hit}", flush=True)
        repro.dvc.wait(timeout=PATIENCE_S)
        if hit is None:
            assert repro.dvc.returncode == 0, "".join(repro.lines)
            # The pipeline is finished, but for what always runs; the other stages were passed before their kills came.
            for place in [place for place in left if place not in (BEFORE, *ALWAYS)]:
                for plan in left.pop(place):
                    left.setdefault(chance.choice(ALWAYS), []).append(plan)
        else:
            assert not [one for one in psutil.wait_procs(orphans, timeout=ORPHANS_S)[1] if is_alive(one)]
            orphans = repro.orphans
    counts = Counter(line.split("  ")[0] for line in fell)
    print(f"seed {seed}: {len(fell)} kills: {dict(counts)}", f"recovered {len(recovered)}: {recovered}", sep="\n")
    project.run("MLOps", "recover")
    print(f"at last: {project.repro()}")
    assert differences(whole, project) == []
    assert lock_of(project) == lock_of(whole)
    assert still_running(project) == []
    assert [path for path in project.folder.rglob(f"{PARTIAL}*") if ".git" not in path.parts] == []
    assert not [one for one in psutil.wait_procs(orphans, timeout=ORPHANS_S)[1] if is_alive(one)]
    assert project.repro() == ALWAYS
    assert counts.keys() == set(PLACES), "no kill fell on some stage"


def differences(first: Project, second: Project) -> list[str]:
    one, other = first.outputs(), second.outputs()
    return [name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]


def lock_of(project: Project) -> Any:
    return yaml.safe_load((project.folder / "dvc.lock").read_text())


def still_running(project: Project) -> list[str]:
    client = project.client()
    experiments = [one.experiment_id for one in client.search_experiments(view_type=ViewType.ALL)]
    found = client.search_runs(experiments, "attributes.status = 'RUNNING'", run_view_type=ViewType.ALL)
    return [f"{run.info.run_name} {run.data.tags}" for run in found]
