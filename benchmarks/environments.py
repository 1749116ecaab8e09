"""Environment steps per second, ours against the same kinematics in plain vectorised numpy, in one process.

A row of `make bench`: 1,024 environments, random actions, finished episodes restarted, as finetuning rolls them.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import numpy_environments
from postbc_jax import envs

ENVIRONMENTS, STEPS, REPEATS = 1024, 200, 5
KINEMATIC = ('gate', 'lift', 'can', 'square')  # lift_mjx has no peer in numpy


def rows() -> list[dict]:
    """One row a task: {name, unit, ours, peer, peer_name, ratio}, the best of REPEATS runs on either side.

    Both sides step every environment once per step, make its observation, and restart what has ended from a new
    random start. Compilation is left out.
    """
    table = []
    for name in KINEMATIC:
        env = envs.make(name)
        actions = np.random.default_rng(0).uniform(-1, 1, (16, ENVIRONMENTS, env.action_size)).astype(np.float32)
        ours, peer = _ours(env, actions), _peer(name, actions)
        table.append(
            {
                'name': f'env_{name}_{ENVIRONMENTS}',
                'unit': 'steps/s',
                'ours': ours,
                'peer': peer,
                'peer_name': 'numpy_vectorised',
                'ratio': ours / peer,
            }
        )
    return table


def _ours(env: envs.Task, actions: np.ndarray) -> float:
    wrapped = envs.wrap(env, env.horizon)

    @jax.jit
    def run(state, actions):
        def step(state, t):
            state = wrapped.step(state, actions[t % len(actions)])
            return state, state.obs.sum()  # so that no step's observation can be left out

        return jax.lax.scan(step, state, jnp.arange(STEPS))

    keys = jax.random.key_data(jax.random.split(jax.random.key(0), ENVIRONMENTS))
    state = jax.jit(wrapped.reset)(keys)
    actions = jnp.asarray(actions)
    return _fastest(lambda: jax.block_until_ready(run(state, actions)))


def _peer(name: str, actions: np.ndarray) -> float:
    env = numpy_environments.make(name, ENVIRONMENTS)

    def run():
        for t in range(STEPS):
            env.step(actions[t % len(actions)])

    return _fastest(run)


def _fastest(run) -> float:
    """Environment steps per second of the quickest run; the first, which compiles, does not count."""
    run()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return ENVIRONMENTS * STEPS / min(seconds)
