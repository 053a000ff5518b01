"""Training imports no compiler; what it computes, and who needs the compiler later, is none the worse for it."""

import subprocess
import sys

import pytest

TRAIN = """
import sys, torch
from MLOps.training.determinism import seed_torch
{before}
seed_torch(3, 1)
network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
optimisers = [make(network.parameters()) for make in (torch.optim.AdamW, torch.optim.Adam, torch.optim.RMSprop)]
optimisers.append(torch.optim.Adam(network.parameters(), fused=True))
for _ in range(5):
    for optimiser in optimisers:
        optimiser.zero_grad()
        network(torch.randn(16, 4)).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimiser.step()
        optimiser.load_state_dict(optimiser.state_dict())
print("torch._inductor" in sys.modules, [part.view(torch.int32).tolist() for part in network.state_dict().values()])
{after}
"""


def run(before: str = "", after: str = "") -> tuple[str, str]:
    """Whether the compiler was imported, and the trained bits."""
    command = [sys.executable, "-c", TRAIN.format(before=before, after=after)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported, bits = done.stdout.strip().split(" ", 1)
    return imported, bits


def test_training_imports_no_compiler_and_gives_the_same_bits() -> None:
    without, bits = run()
    with_, same = run(before="import torch._dynamo, torch._inductor")
    assert (without, with_) == ("False", "True")
    assert bits == same


@pytest.mark.slow
def test_the_compiler_is_there_for_those_who_ask() -> None:
    run(
        after="""
import torch._dynamo.config
assert torch._dynamo is sys.modules["torch._dynamo"] and torch._dynamo.config.recompile_limit
torch.export.export(network, (torch.randn(2, 4),))
optimisers[0].step()
torch.optim.Adam(network.parameters()).step()
"""
    )
