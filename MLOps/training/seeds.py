"""Independent seeds for the parts of one run."""

import hashlib
import json


def derive_seed(seed: int, *names: str | int) -> int:
    """A 32-bit seed for the part of the run that `names` identify.

    It is the beginning of SHA-256 over the run's seed and the names, so the streams of any two parts are independent,
    and adding a part does not change the others.
    """
    digest = hashlib.sha256(json.dumps([seed, *names]).encode()).digest()
    return int.from_bytes(digest[:4], "little")
