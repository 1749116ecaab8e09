"""What a launcher prints: one line when a stage ends, and while it runs one bar with its ETA.

The library never prints; it calls back. Only process 0 speaks.
"""

import io
import sys
import time

import jax
from tqdm import tqdm

from launch.status_file import StatusFile

QUIET_SECONDS = 30.0  # between the lines that stand for a bar where stderr is a file


class Progress:
    """Lines `[2/5] posterior: ... (12 s)` on stdout; bars on stderr, gone when their stage ends.

    Where stderr is no terminal, a line every half minute stands for the bar. The status file, where there is one, is
    told the same.
    """

    def __init__(self, stages: int, status: StatusFile | None = None):
        self._stages, self._stage, self._name, self._bar = stages, 0, '', None
        self._status = status
        self._loud = jax.process_index() == 0
        self._began = time.monotonic()

    def stage(self, name: str) -> None:
        """The next stage begins."""
        self.end()
        self._stage += 1
        self._name, self._began = name, time.monotonic()
        if self._status:
            self._status.stage(name, self._stage, self._stages)

    def begin(self, chunks: int) -> None:
        """A bar of so many chunks begins."""
        self.end()
        if self._loud:
            bar = _Bar if sys.stderr.isatty() else _Lines
            self._bar = bar(total=chunks, desc=f'[{self._stage}/{self._stages}] {self._name}', leave=False)

    def chunk(self, done: int, chunks: int, numbers: dict[str, float]) -> None:
        """loop.run's progress callback."""
        if self._status:
            self._status.chunk(done, chunks, numbers)
        if self._bar is None:
            return
        if not numbers:  # the start: what an earlier run has done must not count as speed
            self._bar.initial = self._bar.n = self._bar.last_print_n = done
            return
        self._bar.last_print_t += numbers.get('compile_seconds', 0.0)  # nor must compiling
        shown = {name: f'{numbers[name]:.3g}' for name in ('loss', 'success') if name in numbers}
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update(done - self._bar.n)

    def say(self, text: str) -> None:
        """One line about the current stage, with the seconds since it began."""
        seconds = time.monotonic() - self._began
        self.note(f'[{self._stage}/{self._stages}] {self._name}: {text} ({seconds:.0f} s)')

    def note(self, text: str) -> None:
        """One line."""
        self.end()
        if self._loud:
            print(text, flush=True)

    def end(self) -> None:
        """Takes the bar away, where there is one."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class _Bar(tqdm):
    """On a terminal."""

    def __init__(self, **settings):
        layout = '{desc} {percentage:3.0f}% |{bar:24}| {elapsed} so far, ETA {remaining}{postfix}'
        super().__init__(bar_format=layout, dynamic_ncols=True, mininterval=0.2, **settings)


class _Lines(tqdm):
    """In a file: no control characters, and few lines."""

    def __init__(self, **settings):
        layout = '{desc} {percentage:3.0f}%, {elapsed} so far, ETA {remaining}{postfix}'
        often = {'mininterval': QUIET_SECONDS, 'maxinterval': QUIET_SECONDS, 'miniters': 1}
        super().__init__(bar_format=layout, file=io.StringIO(), **often, **settings)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Prints the line itself: tqdm would write it over the last one."""
        if msg is None and self.n > self.initial:
            print(str(self), file=sys.stderr, flush=True)
