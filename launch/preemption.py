"""SIGTERM, which clusters send before they take a machine: asks the run to stop, and sees to it that it does in time.

Begun by launch.run. The loop saves between two compiled calls and stops (loop.Preempted). Where no such moment comes
within GRACE (a long call, compiling, recording, an evaluation), the process ends where it is: as after a SIGKILL, the
next start goes on from the newest checkpoint.
"""

import contextlib
import functools
import os
import signal
import socket
import threading
import time
from collections.abc import Callable

STATUS = 75  # EX_TEMPFAIL: run it again
GRACE = 20.0  # seconds; clusters commonly leave 30 before they kill


class Preemption:
    """Listens for SIGTERM from now on, in a thread: Python's own handler waits while the main thread is inside a call
    to jax.

    Attributes:
      asked: whether it has come.
      at_last: called just before the process is ended where it is; it may be set at any time.
    """

    def __init__(self, grace: float = GRACE):
        self.asked = False
        self.at_last: Callable[[], None] = lambda: None
        self._grace = grace
        self._bell, written = socket.socketpair()
        written.setblocking(False)
        self._written = written  # the descriptor must stay open
        signal.signal(signal.SIGTERM, lambda *_: None)  # C code writes the signal's number to the wakeup descriptor
        signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._listen, name='sigterm', daemon=True).start()

    def _listen(self) -> None:
        while signal.SIGTERM not in self._bell.recv(64):
            pass
        self.asked = True
        time.sleep(self._grace)  # a process that stops by itself takes this thread with it
        with contextlib.suppress(Exception):
            self.at_last()
        message = f'stopped where it was, {self._grace:g} s after SIGTERM, before it came to a save'
        os.write(2, f'{message}; run the same command again to go on from the last checkpoint\n'.encode())
        os._exit(STATUS)


@functools.cache
def listening() -> Preemption:
    """This process's, made at the first call: after jax.distributed has begun, which listens to the signal too."""
    return Preemption()
