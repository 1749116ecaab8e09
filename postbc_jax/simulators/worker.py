"""A worker process: holds instances of one simulator and plays what envs.pool asks for, until its socket closes.

Started as `python -m postbc_jax.simulators.worker FD`. What a simulator prints goes to standard error. An answer is
[None, ...] and arrays, or [message, row] where one row of the request failed.
"""

import contextlib
import dataclasses
import importlib
import os
import random
import signal
import socket
import sys
from collections.abc import Iterator

import numpy as np

from postbc_jax.simulators.messages import receive, send
from postbc_jax.simulators.simulator import Simulator

# Of one step (or of the several of a chunk), after the observation: reward, ended, truncated, success, played.
OUTCOME = 5


class Instances:
    """Simulators by slot, each made at its first use.

    Each has a global random state (numpy's and random's) of its own, so that two that draw from those do not disturb
    each other.
    """

    def __init__(self, module: str, settings: dict):
        self.make = lambda: importlib.import_module(module).make(**settings)
        self.simulators: dict[int, Simulator] = {}
        self.random: dict[int, tuple] = {}

    @contextlib.contextmanager
    def at(self, slot: int) -> Iterator[Simulator]:
        """The instance of a slot, with its random state in place."""
        if slot not in self.simulators:
            self.simulators[slot] = self.make()
        if slot in self.random:
            numpy_state, python_state = self.random[slot]
            np.random.set_state(numpy_state)
            random.setstate(python_state)
        yield self.simulators[slot]
        self.random[slot] = np.random.get_state(), random.getstate()

    def start(self, slot: int, seed: int) -> np.ndarray:
        """Starts the episode of a seed; returns obs (O,)."""
        with self.at(slot) as simulator:
            np.random.seed(seed)
            random.seed(seed)
            return _finite('reset', simulator.reset(seed), simulator)

    def play(self, slot: int, actions: np.ndarray) -> np.ndarray:
        """Plays actions (T, A) until the episode ends: obs (O,), then OUTCOME, whose reward is the sum."""
        with self.at(slot) as simulator:
            total, played = 0.0, 0
            for action in actions.astype(np.float32):
                step = simulator.step(action)
                played += 1
                obs = _finite('step', step.obs, simulator)
                total += float(_finite('reward', np.array([step.reward]))[0])
                ended = step.terminated or step.truncated or step.success
                if ended:
                    break
            cut = step.truncated and not (step.terminated or step.success)
            return np.array([*obs, total, ended, cut, step.success, played], np.float64)

    def bring(self, slot: int, seed: int, actions: np.ndarray, obs: np.ndarray) -> None:
        """Brings an instance to where an episode stands: starts it and plays its actions (t, A) again, up to obs."""
        found = self.start(slot, seed)
        if len(actions):
            found = self.play(slot, actions)[:-OUTCOME]
        if not np.allclose(found, obs, rtol=1e-4, atol=1e-4):
            index = int(np.argmax(np.abs(found - obs)))
            raise ValueError(
                f'seed {seed} and the same {len(actions)} actions led to obs[{index}] = {found[index]:g} where they '
                f'led to {obs[index]:g} before: the simulator is not deterministic, so its episodes cannot be resumed'
            )

    def act(self, slot: int, operator: str) -> np.ndarray:
        """The action (A,) of the simulator's own operator."""
        with self.at(slot) as simulator:
            return _finite(f'operator {operator}', simulator.act(operator))


def _finite(where: str, values: np.ndarray, simulator: Simulator | None = None) -> np.ndarray:
    if np.all(np.isfinite(values)):
        return values
    index = int(np.argmax(~np.isfinite(values)))
    key, value = '', values[index]
    for name, size in simulator.spec.obs_keys if simulator else ():
        if index < size:
            key = f'obs {name}'
            break
        index -= size
    raise ValueError(f'{where}: {key}[{index}] is {value}: the simulation is unstable, or was given a wild action')


def answer(instances: Instances, request: str, row: list, arrays: list[np.ndarray]) -> np.ndarray:
    """One row of a request: [slot, seed, stale], and the operator for 'act'; history (t, A), obs (O,), actions (T, A).

    A slot that is stale holds another episode, or another moment of this one.
    """
    slot, seed, stale, *operator = row
    history, obs, actions = arrays
    if request == 'reset':
        return instances.start(slot, seed)
    if stale:
        instances.bring(slot, seed, history, obs)
    return instances.play(slot, actions) if request == 'play' else instances.act(slot, *operator)


def serve(pool: socket.socket) -> None:
    """Answers requests until the pool is gone. The first is ['open', module, settings], the answer the spec."""
    instances = None
    while True:
        row = None
        try:
            (request, *fields), arrays = receive(pool)
            if request == 'open':
                instances = Instances(*fields)
                with instances.at(0) as simulator:
                    send(pool, [None, dataclasses.asdict(simulator.spec)])
                continue
            answers = []
            for row, of in enumerate(fields[0]):
                answers.append(answer(instances, request, of, arrays[3 * row : 3 * row + 3]))
            send(pool, [None], *answers)
        except EOFError:
            return
        except Exception as error:
            send(pool, [f'{type(error).__name__}: {" ".join(str(error).split())}', row])


if __name__ == '__main__':
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the socket closes when the launcher goes
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Slurm signals the whole job; the launcher saves and goes
    os.dup2(2, 1)
    serve(socket.socket(fileno=int(sys.argv[1])))
