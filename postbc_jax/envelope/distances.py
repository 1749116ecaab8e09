"""Distances between many states at once, for what compares all demonstrated states with each other. Numpy."""

import numpy as np


def squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances between the rows of a (n, O) and of b (m, O), (n, m)."""
    return np.maximum((a**2).sum(axis=1)[:, None] - 2 * a @ b.T + (b**2).sum(axis=1), 0.0)
