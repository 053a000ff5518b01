"""Sum tree: draws proportional to weights in logarithmic time (Schaul et al., 2016, appendix B.2.1)."""

from typing import Any

import numpy as np
from numba import njit

from MLOps.compiled import CACHE


class SumTree:
    """Non-negative weights of `capacity` leaves, and their sums in a complete binary tree.

    Every node is its left child plus its right child, so the sums are a function of the leaves alone, whatever the
    order in which they were set.
    """

    def __init__(self, capacity: int) -> None:
        self._first = 1 << max(capacity - 1, 1).bit_length()
        # Node k has the children 2k and 2k + 1; leaf i is node first + i; node 0 is not used.
        self._nodes = np.zeros(2 * self._first)

    @staticmethod
    def memory_bytes(capacity: int) -> int:
        """Memory of the tree, known before it is allocated."""
        return 8 * 2 * (1 << max(capacity - 1, 1).bit_length())

    @property
    def total(self) -> float:
        return float(self._nodes[1])

    def weights(self, leaves: np.ndarray | slice) -> np.ndarray:
        """The weights of the leaves, a copy."""
        return self._nodes[self._first :][leaves].copy()

    def set(self, leaves: np.ndarray, weights: np.ndarray) -> None:
        """Set the weights (n,) of the leaves (n,) int64."""
        _set(self._nodes, self._first, leaves, weights)

    def find(self, masses: np.ndarray) -> np.ndarray:
        """Of each of the masses (n,) in [0, total) the leaf, int64, in whose interval of cumulated weights it lies."""
        return _find(self._nodes, self._first, masses)


@njit(cache=CACHE, nogil=True)
def _set(nodes: Any, first: int, leaves: Any, weights: Any) -> None:
    for i in range(len(leaves)):
        node = first + leaves[i]
        nodes[node] = weights[i]
        while node > 1:
            node //= 2
            nodes[node] = nodes[2 * node] + nodes[2 * node + 1]


@njit(cache=CACHE, nogil=True)
def _find(nodes: Any, first: int, masses: Any) -> Any:
    found = np.empty(len(masses), np.int64)
    for i in range(len(masses)):
        mass, node = masses[i], 1
        while node < first:
            node *= 2
            # Rounding may push a mass past the last weight; a branch without weight is never entered.
            if mass >= nodes[node] and nodes[node + 1] > 0:
                mass -= nodes[node]
                node += 1
        found[i] = node - first
    return found
