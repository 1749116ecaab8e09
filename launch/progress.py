"""What a launcher prints: one line when a stage ends, and while it runs one bar with its ETA.

The library never prints; it calls back. Only process 0 speaks.
"""

import sys
import time

import jax
from tqdm import tqdm


class Progress:
    """Lines `[2/5] posterior: ... (12 s)` on stdout; bars on stderr, gone when their stage ends."""

    def __init__(self, stages: int):
        self._stages, self._stage, self._name, self._bar = stages, 0, '', None
        self._loud = jax.process_index() == 0
        self._began = time.monotonic()

    def stage(self, name: str) -> None:
        """The next stage begins."""
        self._end()
        self._stage += 1
        self._name, self._began = name, time.monotonic()

    def begin(self, chunks: int) -> None:
        """A bar of so many chunks begins."""
        self._end()
        if self._loud:
            self._bar = tqdm(
                total=chunks,
                desc=f'[{self._stage}/{self._stages}] {self._name}',
                leave=False,
                dynamic_ncols=True,
                mininterval=0.2 if sys.stderr.isatty() else 20.0,
                bar_format='{desc} {percentage:3.0f}% |{bar:24}| {elapsed} so far, ETA {remaining}{postfix}',
            )

    def chunk(self, done: int, chunks: int, numbers: dict[str, float]) -> None:
        """loop.run's progress callback."""
        if self._bar is None:
            return
        if not numbers:  # the start: what an earlier run has done must not count as speed
            self._bar.initial = self._bar.n = done
            return
        shown = {name: f'{numbers[name]:.3g}' for name in ('loss', 'success') if name in numbers}
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update(done - self._bar.n)

    def say(self, text: str) -> None:
        """One line about the current stage, with the seconds since it began."""
        seconds = time.monotonic() - self._began
        self.note(f'[{self._stage}/{self._stages}] {self._name}: {text} ({seconds:.0f} s)')

    def note(self, text: str) -> None:
        """One line."""
        self._end()
        if self._loud:
            print(text, flush=True)

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
