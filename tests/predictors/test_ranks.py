"""Several processes that train one network: as one with the joint batch, the same bytes on repeat and after a kill."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from MLOps.artifacts import read_arrays
from MLOps.predictors import ranks
from tests.predictors import joint
from tests.project import ROOT, TIMEOUT_S

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
# Adam moves a weight whose gradient is 0 but for rounding as far as any other. These are the weights without influence
# on the loss in training, a bias before a batch norm and that of the keys of attention, and the mean that follows the
# former.
OF_ROUNDING = re.compile(r"convolutions\.\d\.0\.bias|running_mean|in_proj_bias")


def start(folder: Path, *names: str, restarts: int = 0, **variables: str) -> "subprocess.Popen[str]":
    command = [*TORCHRUN, "--max-restarts", str(restarts), "-m", "tests.predictors.joint", str(folder), *names]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders `one`, `two` and `killed` of the same networks: by one process, by two ranks, by two that a kill
    interrupted."""
    folder = tmp_path_factory.mktemp("joint")
    two = start(folder / "two", *joint.CASES)
    killed = start(folder / "killed", "dropout", restarts=1, KILL_AT_UPDATE="7")
    joint.main(folder / "one", list(joint.CASES))
    for process in (two, killed):
        said = process.communicate(timeout=TIMEOUT_S)[1]
        assert process.returncode == 0, said
    assert "exitcode: -9" in said, "nothing was killed"
    return folder


@pytest.mark.parametrize("name", [name for name in joint.CASES if name != "dropout"])
def test_ranks_learn_what_one_process_learns_of_the_joint_batch(name: str, trained: Path) -> None:
    one, two = (read_arrays(trained / which / name / "weights.safetensors") for which in ("one", "two"))
    for weight in one:
        if not OF_ROUNDING.search(weight):
            np.testing.assert_allclose(two[weight], one[weight], rtol=0, atol=1e-5, err_msg=weight)


def test_each_rank_draws_dropout_of_its_own(trained: Path) -> None:
    one, two = (read_arrays(trained / which / "dropout" / "weights.safetensors") for which in ("one", "two"))
    assert any(np.abs(one[name] - two[name]).max() > 1e-3 for name in one)


def test_ranks_killed_and_started_again_end_with_the_same_bytes(trained: Path) -> None:
    killed, two = (trained / which / "dropout" for which in ("killed", "two"))
    for file in ("weights.safetensors", "predictor.json"):
        assert (killed / file).read_bytes() == (two / file).read_bytes()


def test_the_number_of_ranks_belongs_to_the_identity_of_a_training(trained: Path) -> None:
    folders = {which: {path.name for path in (trained / which / "checkpoints").iterdir()} for which in ("one", "two")}
    assert len(folders["one"]) == len(folders["two"]) == len(joint.CASES)
    assert not folders["one"] & folders["two"]


def test_one_process_alone_sends_nothing() -> None:
    with ranks.joined():
        assert (ranks.rank(), ranks.size()) == (0, 1)
        batch, tensor = np.arange(5), torch.ones(3)
        np.testing.assert_array_equal(ranks.share(batch), batch)
        ranks.add_up([tensor])
        assert torch.equal(tensor, torch.ones(3))
        assert ranks.from_first(lambda: "made") == "made"
