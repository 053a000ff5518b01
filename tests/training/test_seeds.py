"""Seeds derived from the run's seed and names: stable, unrelated, 32 bits."""

import hashlib
import subprocess
import sys
from itertools import product

import numpy as np
import pytest

from MLOps.training.seeds import derive_seed
from tests.project import ROOT

NAMES: list[tuple[str | int, ...]] = [
    (), ("choices",), ("model",), ("fold", 0), ("fold", 1), ("fold", "1"), ("fold", 11), ("fold", 1, 1), ("fold1",),
    ("a", "bc"), ("ab", "c"), ("abc",), ("batch", 1, 23), ("batch", 12, 3), ("batch", 123),
]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "text"),
    [((), b"[7]"), (("model",), b'[7, "model"]'), (("fold", 3), b'[7, "fold", 3]'), (("ü", ""), b'[7, "\\u00fc", ""]')],
)
def test_a_seed_is_the_beginning_of_a_hash_on_every_machine(names: tuple[str | int, ...], text: bytes) -> None:
    expected = int.from_bytes(hashlib.sha256(text).digest()[:4], "little")
    assert derive_seed(7, *names) == expected
    code = f"from MLOps.training.seeds import derive_seed; print(derive_seed(7, *{names!r}))"
    other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(other.stdout) == expected, "another process, with another hash seed"


def test_other_names_or_another_seed_give_another_seed() -> None:
    seeds = [derive_seed(seed, *names) for seed, names in product((0, 1, 7, 2**31, -1), NAMES)]
    assert len(set(seeds)) == len(seeds)


def test_a_seed_has_32_bits_that_are_all_used() -> None:
    seeds = np.array([derive_seed(7, "batch", number) for number in range(4000)], dtype=object)
    assert all(0 <= seed < 2**32 for seed in seeds)
    np.random.RandomState(int(seeds.max()))  # takes 32 bits at most
    set_bits = np.array([[seed >> bit & 1 for bit in range(32)] for seed in seeds]).mean(axis=0)
    # Binomial, 4000 draws at one half: five standard deviations are 0.04.
    assert (np.abs(set_bits - 0.5) < 0.04).all()
