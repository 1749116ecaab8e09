"""Simulators that raise, die, hang, give NaN or forget: a fault ends the run, in one line naming the environment."""

import functools
import gc
import os
import re
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax.envs.host import HostEnv
from postbc_jax.envs.pool import seed

CLOCKWORK = 'tests.simulators.clockwork'


def faulty(fault):
    return HostEnv('clockwork', CLOCKWORK, {'fault': fault}, workers=2)


def keys_with_odd_start_at(row, count=4):
    """Raw keys of which one, at `row`, gives the odd start that meets the fault."""
    candidates = np.asarray(jax.random.key_data(jax.random.split(jax.random.key(0), 64)))
    odd = [key for key in candidates if seed(key) % 1000 % 2]
    even = [key for key in candidates if not seed(key) % 1000 % 2]
    return jnp.array([odd[0] if i == row else even[i] for i in range(count)])


# How jax says that a callback failed: as one or the other, by the way that the program was dispatched.
FAILED = (jax.errors.JaxRuntimeError, ValueError)


@functools.partial(jax.jit, static_argnums=0)
def play(env, keys, actions):
    def step(state, action):
        state = jax.vmap(env.step)(state, action)
        return state, state.obs

    return jax.lax.scan(step, jax.vmap(env.reset)(keys), actions)[1]


@pytest.mark.parametrize(
    ('fault', 'message'),
    [
        ('raise', r'HostError: clockwork: environment 2: RuntimeError: the clock has stopped'),
        ('kill', r'HostError: clockwork: environment [\d, ]*2[\d, ]*: worker \d died by signal 9'),
        ('hang', r'HostError: clockwork: environment [\d, ]*2[\d, ]*: no answer from worker \d for 2 s'),
        ('nan', r'HostError: clockwork: environment 2: ValueError: step: obs clock\[1\] is nan'),
    ],
)
def test_a_fault_ends_the_run_and_names_the_environment(fault, message):
    env = faulty(fault)
    jax.block_until_ready(jax.vmap(env.reset)(keys_with_odd_start_at(2)))  # starting the workers takes its time
    env.pool.timeout = 2.0
    for worker in env.pool.workers:
        worker.socket.settimeout(env.pool.timeout)
    with pytest.raises(FAILED) as caught:
        jax.block_until_ready(play(env, keys_with_odd_start_at(2), jnp.ones((5, 4, 2))))
    assert re.search(message, str(caught.value))
    with pytest.raises(FAILED, match='HostError: clockwork'):  # and stays so
        jax.block_until_ready(jax.vmap(env.reset)(keys_with_odd_start_at(2)))
    for worker in env.pool.workers:
        assert worker.process.poll() is not None


def test_a_worker_killed_from_outside_ends_the_run():
    env = faulty(None)
    keys = keys_with_odd_start_at(0)
    jax.block_until_ready(play(env, keys, jnp.ones((2, 4, 2))))
    env.pool.workers[1].process.kill()
    with pytest.raises(FAILED, match='HostError: clockwork: environment .*: worker 1 died by sig'):
        jax.block_until_ready(play(env, keys, jnp.ones((2, 4, 2))))


def test_an_action_that_is_not_finite_is_refused():
    env = faulty(None)
    actions = jnp.ones((1, 4, 2)).at[0, 3, 1].set(jnp.nan)
    with pytest.raises(FAILED, match='environment 3: its action is not finite'):
        jax.block_until_ready(play(env, keys_with_odd_start_at(0), actions))


def test_a_simulator_that_is_not_deterministic_is_not_resumed():
    before = HostEnv('clockwork', CLOCKWORK, {'drifts': True}, workers=1)
    state = before.step(before.reset(keys_with_odd_start_at(0)[0]), jnp.ones(2))
    after = HostEnv('clockwork', CLOCKWORK, {'drifts': True}, workers=1)
    after.reset(keys_with_odd_start_at(0)[1])
    with pytest.raises(FAILED, match='the simulator is not deterministic'):
        jax.block_until_ready(after.step(state, jnp.ones(2)))


def test_workers_go_with_their_environment():
    env = faulty(None)
    jax.block_until_ready(jax.vmap(env.reset)(keys_with_odd_start_at(0)))
    processes = [worker.process for worker in env.pool.workers]
    assert len(processes) == 2 and all(process.poll() is None for process in processes)
    jax.clear_caches()
    del env
    gc.collect()
    for process in processes:
        assert process.wait(10) is not None


def test_workers_go_with_their_launcher(start_python):
    launcher = start_python(
        """
        import os, time
        from postbc_jax.envs.host import HostEnv
        env = HostEnv('clockwork', 'tests.simulators.clockwork', {}, workers=1)
        print(env.pool.workers[0].process.pid, flush=True)
        time.sleep(600)
        """
    )
    worker = int(next(line for line in launcher.stdout if line.strip().isdigit()))
    launcher.kill()
    launcher.communicate()
    until = time.monotonic() + 30
    while os.path.exists(f'/proc/{worker}') and time.monotonic() < until:
        time.sleep(0.05)
    assert not os.path.exists(f'/proc/{worker}')


@pytest.mark.parametrize('learners', [1, 2])
def test_a_fault_on_one_device_does_not_leave_the_other_waiting(learners, start_python):
    """One learner over two devices (gradients are averaged: a collective a step), and two learners on one each."""
    process = start_python(
        f"""
        import jax, jax.numpy as jnp
        from jax.sharding import PartitionSpec as P
        from postbc_jax import parallel
        from postbc_jax.envs.host import HostEnv
        env = HostEnv('clockwork', 'tests.simulators.clockwork', {{'fault': 'raise'}}, workers=2)
        mesh = parallel.mesh({learners}, jax.devices())

        def one(key):
            rows = jax.random.key_data(parallel.row_keys(key, parallel.local_rows(8)))
            def step(state, _):
                state = jax.vmap(env.step)(state, jnp.ones((len(rows), 2)))
                return state, parallel.data_mean(state.obs.mean())
            return jax.lax.scan(step, jax.vmap(env.reset)(rows), length=50)[1]

        run = parallel.pmap(one, mesh, (P(parallel.LEARNER),), P(parallel.LEARNER))
        keys = parallel.learner_keys(jax.random.key(0), range({learners}), mesh)
        jax.block_until_ready(run(keys))
        """,
        devices=2,
    )
    _, errors = process.communicate(timeout=240)
    assert process.returncode != 0 and 'HostError: clockwork: environment' in errors
