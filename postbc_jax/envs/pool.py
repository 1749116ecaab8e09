"""The worker processes behind one HostEnv, and which of their instances holds which episode. Nothing of jax in here.

Episodes are named by what determines them: the seed and a digest of the actions played. An instance is a cache of one
episode's present; a request for another is answered after playing that one again from its seed.
"""

import collections
import hashlib
import os
import socket
import subprocess
import sys
import threading
import weakref
from typing import Any

import numpy as np

from postbc_jax import cores
from postbc_jax.envs.slots import Slots
from postbc_jax.simulators.messages import receive, send
from postbc_jax.simulators.simulator import Spec
from postbc_jax.simulators.worker import OUTCOME


class HostError(RuntimeError):
    """A simulator or its worker process failed. One line, naming the environment."""


class Pool:
    """Workers with instances of one simulator.

    Calls may come from several threads (one a device) and are answered one after the other, each by all workers.
    After a failure every call raises the same HostError: nothing goes on with half of its environments.

    Args (of the constructor):
      name: of the environment, for messages.
      module, settings: the simulator's; see simulators.simulator.
      workers: processes; None for one a core.
      timeout: seconds after which a worker that has not answered is taken for hung.

    Raises (in the constructor):
      ValueError: the simulator refuses its settings.
      HostError: its process dies.
    """

    def __init__(self, name: str, module: str, settings: dict[str, Any], workers: int | None, timeout: float):
        self.name, self.module, self.settings, self.timeout = name, module, settings, timeout
        self.count = workers or cores.available()
        self.lock = threading.Lock()
        self.failure: str | None = None
        self.workers: list[_Worker] = []
        self.slots = Slots()
        weakref.finalize(self, _stop, self.workers)
        first = self._worker(0)
        send(first.socket, ['open', module, settings])
        (error, *answer), _ = self._receive(0, [])
        if error:
            self.failure = error
            raise ValueError(f'{name}: {error.partition(": ")[2] if error.startswith("ValueError") else error}')
        spec = answer[0]
        spec['obs_keys'] = tuple((key, size) for key, size in spec['obs_keys'])
        for field in ('action_low', 'action_high', 'operators'):
            spec[field] = tuple(spec[field])
        self.spec = Spec(**spec)
        self.obs_size = sum(size for _, size in self.spec.obs_keys)

    def reset(self, keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Starts episodes: raw keys (B, 2), wanted (B,) bool -> obs (B, O), digests (B, 2); 0 where not wanted."""
        obs, digests = np.zeros((len(keys), self.obs_size), np.float32), np.zeros((len(keys), 2), np.uint32)
        rows = np.flatnonzero(wanted)
        with self.lock:
            self._begin()
            slots = self.slots.take([None] * len(rows))
            requests = {
                int(row): ([slot, seed(keys[row]), True], [np.zeros(0)] * 3)
                for row, (slot, _) in zip(rows, slots, strict=True)
            }
            for row, found in self._ask('reset', requests).items():
                obs[row], digests[row] = found, _digest(keys[row])
                self.slots.hold(requests[row][0][0], digests[row].tobytes())
        return obs, digests

    def play(
        self,
        keys: np.ndarray,
        digests: np.ndarray,
        steps: np.ndarray,
        history: np.ndarray,
        obs: np.ndarray,
        actions: np.ndarray,
        live: np.ndarray,
        last: int,
    ) -> dict[str, np.ndarray]:
        """Plays actions (B, T, A) in episodes at their steps (B,), until each ends; those that are not live stay.

        history (B, H, A) holds the actions of the first `steps` steps. An episode that has played `last` steps is over.

        Returns:
          obs (B, O), reward (B,), ended (B,), truncated (B,), success (B,), played (B,), digests (B, 2).
        """
        outcome = np.zeros((len(keys), OUTCOME), np.float32)
        after, names = np.array(obs, np.float32), np.array(digests, np.uint32)
        with self.lock:
            requests = self._present(keys, digests, steps, history, obs, actions, live)
            for row, found in self._ask('play', requests).items():
                after[row], outcome[row] = found[:-OUTCOME], found[-OUTCOME:]
                played = int(outcome[row, 4])
                names[row] = _digest(digests[row], actions[row, :played])
                ended = bool(outcome[row, 1]) or steps[row] + played >= last
                self.slots.hold(requests[row][0][0], None if ended else names[row].tobytes())
        return {
            'obs': after,
            **dict(zip(('reward', 'ended', 'truncated', 'success', 'played'), outcome.T, strict=True)),
            'digest': names,
        }

    def act(self, keys, digests, steps, history, obs, operators, live) -> np.ndarray:
        """What the simulators' own operators, of these indices (B,), do now: (B, A), 0 where not live."""
        actions = np.zeros((len(keys), len(self.spec.action_low)), np.float32)
        with self.lock:
            requests = self._present(keys, digests, steps, history, obs, np.zeros((len(keys), 0)), live)
            for row, (fields, _) in requests.items():
                fields.append(self.spec.operators[operators[row]])
            for row, found in self._ask('act', requests).items():
                actions[row] = found
                self.slots.hold(requests[row][0][0], digests[row].tobytes())
        return actions

    def _present(self, keys, digests, steps, history, obs, actions, live) -> dict[int, tuple[list, list[np.ndarray]]]:
        """The requests {row: (fields, arrays)} of the live rows, each with a slot of its own."""
        rows = np.flatnonzero(live)
        self._begin()
        for row in rows:
            if not np.all(np.isfinite(actions[row])):
                self._fail(f'{self._place(row)}: its action is not finite: the policy has diverged')
        names = [digests[row].tobytes() for row in rows]
        slots = self.slots.take(names)
        return {
            int(row): (
                [slot, seed(keys[row]), stale],
                [history[row, : steps[row]], obs[row], actions[row]],
            )
            for row, (slot, stale) in zip(rows, slots, strict=True)
        }

    def _begin(self) -> None:
        if self.failure:
            raise HostError(self.failure)

    def _ask(self, request: str, requests: dict) -> dict[int, np.ndarray]:
        """Sends rows to the workers of their slots, all at once, and gathers what they answer: {row: array}."""
        shares: dict[int, list[int]] = collections.defaultdict(list)
        for row, (fields, _) in requests.items():
            shares[fields[0] % self.count].append(row)
        for index, rows in shares.items():
            worker = self._worker(index)
            fields = [requests[row][0] for row in rows]
            try:
                if not worker.opened:
                    send(worker.socket, ['open', self.module, self.settings])
                    worker.opened = True
                    self._answer(index, rows)
                send(worker.socket, [request, fields], *(array for row in rows for array in requests[row][1]))
            except OSError:
                self._fail(self._death(index, rows))
        answers = {}
        for index, rows in shares.items():
            answers |= zip(rows, self._answer(index, rows), strict=False)
        return answers

    def _answer(self, index: int, rows: list[int]) -> list[np.ndarray]:
        (error, *place), arrays = self._receive(index, rows)
        if error:
            row = rows[place[0] or 0] if rows else 0
            self._fail(f'{self._place(row)}: {error}')
        return arrays

    def _receive(self, index: int, rows: list[int]):
        try:
            return receive(self.workers[index].socket)
        except EOFError:
            self._fail(self._death(index, rows))
        except TimeoutError:
            self._fail(f'{self._place(*rows)}: no answer from worker {index} for {self.timeout:g} s')

    def _death(self, index: int, rows: list[int]) -> str:
        process = self.workers[index].process
        try:
            code = process.wait(5)
        except subprocess.TimeoutExpired:
            code = None
        how = f'by signal {-code}' if code and code < 0 else f'with status {code}'
        return f'{self._place(*rows)}: worker {index} died {how}'

    def _place(self, *rows: int) -> str:
        return f'{self.name}: environment {", ".join(map(str, rows))}' if rows else self.name

    def _fail(self, message: str) -> None:
        self.failure = message
        _stop(self.workers)
        raise HostError(message)

    def _worker(self, index: int) -> '_Worker':
        while len(self.workers) <= index:
            self.workers.append(_Worker(self.timeout))
        return self.workers[index]


class _Worker:
    """One process and the socket to it."""

    def __init__(self, timeout: float):
        self.socket, theirs = socket.socketpair()
        self.opened = False
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        quiet = {name: '1' for name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS')}
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, '-m', 'postbc_jax.simulators.worker', str(theirs.fileno())],
                env=os.environ | quiet | {'PYTHONPATH': path},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self.socket.settimeout(timeout)


def _stop(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.socket.close()
        worker.process.kill()
        worker.process.wait()


def seed(key: np.ndarray) -> int:
    """The simulator's seed, in [0, 2**31), of a raw key (2,) uint32."""
    return int.from_bytes(hashlib.blake2b(key.astype('<u4').tobytes(), digest_size=4).digest(), 'little') >> 1


def _digest(before: np.ndarray, actions: np.ndarray | None = None) -> np.ndarray:
    """(2,) uint32: of a key, or of a digest and the actions (t, A) played after it."""
    text = before.astype('<u4').tobytes()
    if actions is not None:
        for action in actions.astype('<f4'):
            text = hashlib.blake2b(text + action.tobytes(), digest_size=8).digest()
    else:
        text = hashlib.blake2b(text, digest_size=8).digest()
    return np.frombuffer(text, '<u4').astype(np.uint32)
