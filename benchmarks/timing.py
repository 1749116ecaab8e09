"""Timing of several contenders side by side, so that what else runs on the machine hits all of them alike.

Under every row of `make bench`.
"""

import statistics
import time
from collections.abc import Callable

ROUNDS = 7
PAUSE = 0.1  # seconds between contenders: a thread pool spins on for a while after its last task


def interleave(contenders: dict[str, Callable[[], None]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Seconds of each call, the contenders taking turns; one call each beforehand compiles and warms up.

    Args:
      contenders: name -> function that returns when its work is done.
      rounds: calls that count, of each.

    Returns:
      name -> `rounds` durations in seconds.
    """
    for contender in contenders.values():
        contender()
    seconds = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            contender()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def median_rates(seconds: dict[str, list[float]], work: dict[str, float]) -> dict[str, float]:
    """Median rate of each contender: name -> work[name] a second."""
    return {name: work[name] / statistics.median(durations) for name, durations in seconds.items()}
