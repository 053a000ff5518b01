"""A copy of this repository with a small configuration, for tests that run the real pipeline."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 600

# Real data, and every stage real; only the training is cut short.
SMALL = {
    "predictors.lstm.hidden_size": 8,
    "predictors.lstm.lookback_bars": 10,
    "predictors.lstm.max_epochs": 2,
    "agents.ppo.total_timesteps": 4096,
    "agents.ppo.evaluate_every_steps": 4096,
    "agents.ppo.environments": 8,
    "agents.ppo.net_arch": [16],
    "backtest.random_draws": 20,
    "walk_forward.windows": 1,
    "execution.kind": "serial",  # processes take longer to start than these stages to compute
}


def environment() -> dict[str, str]:
    """The variables of a user who has activated the environment, without settings of MLflow, DVC and Python."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DVC_", "PYTHON"))}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}


@dataclass
class Project:
    """A working copy in a folder of its own."""

    folder: Path

    @classmethod
    def copy(cls, folder: Path) -> "Project":
        """The tracked files of this repository as they stand, as the first commit of a new one."""
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for name in listed:
            # Lock and figures belong to the configuration they were made with, and the tests are not what is tested.
            if name == "dvc.lock" or name.startswith(("tests/", "docs/", "reports/")) or not (ROOT / name).is_file():
                continue
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
        # Numba knows its compiled code by the source's time of change, so both are copied; compiling takes a minute.
        for compiled in ROOT.glob("MLOps/**/__pycache__/*.nb?"):
            place = folder / compiled.relative_to(ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(compiled, place)
        folder.mkdir(parents=True, exist_ok=True)
        project = cls(folder)
        project.init()
        return project

    def init(self) -> None:
        """Make the folder a Git repository with an identity of its own; `dvc exp run` commits, and asks for one."""
        self.git("init", "--quiet")
        self.git("config", "user.name", "test")
        self.git("config", "user.email", "test@localhost")
        self.keep_dvc_state()

    def keep_dvc_state(self) -> None:
        """Let DVC keep its state in this folder, as `make setup` does."""
        if (self.folder / ".dvc").exists():
            config = f"[core]\n    site_cache_dir = {self.folder}/.cache/dvc\n"
            (self.folder / ".dvc/config.local").write_text(config)

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "as is")

    def git(self, *words: str) -> None:
        subprocess.run(["git", *words], cwd=self.folder, check=True)

    def set(self, **values: Any) -> None:
        """Set dotted keys of params.yaml; dots are written as double underscores."""
        self.update({key.replace("__", "."): value for key, value in values.items()})

    def update(self, values: dict[str, Any]) -> None:
        path = self.folder / "params.yaml"
        params = yaml.safe_load(path.read_text())
        for key, value in values.items():
            *sections, last = key.split(".")
            section = params
            for name in sections:
                section = section[name]
            section[last] = value
        path.write_text(yaml.safe_dump(params, sort_keys=False))

    def keep_predictors(self, *names: str) -> None:
        """Take all other predictors, and the search, out of params.yaml."""
        predictors = yaml.safe_load((self.folder / "params.yaml").read_text())["predictors"]
        self.update({"predictors": {name: predictors[name] for name in names}, "search.predictors.spaces": {}})

    def run(
        self, *words: str, check: bool = True, variables: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -m WORDS` as a user would in the activated environment, with `variables` set."""
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=self.folder,
            env=environment() | (variables or {}),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(words)} failed:\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
        return done

    def repro(self, *options: str) -> list[str]:
        """`dvc repro`; the stages that it ran."""
        output = self.run("dvc", "repro", *options).stdout
        return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]

    def outputs(self) -> dict[str, bytes]:
        """Every file that stages made, by its name."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for top in ("data/raw", "data/processed", "models", "reports")
            for path in sorted((self.folder / top).rglob("*"))
            if path.is_file() and path.name != ".gitignore"
        }

    def client(self) -> "MlflowClient":
        # It takes a second to import, and few processes of the tests need it.
        from mlflow.tracking import MlflowClient

        return MlflowClient(f"sqlite:///{self.folder}/mlflow.db")
