"""A watched finetuning run: a collapse that is provoked is caught and taken back, also by a run that is interrupted."""

import contextlib
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import default
from launch import monitoring, watching
from launch.finetuners import Start
from launch.point import Point
from postbc_jax import loop, metrics, parallel
from postbc_jax.envelope.monitor import begin
from postbc_jax.finetune.controlled import controlled
from postbc_jax.finetune.dsrl_ppo import dsrl_ppo
from postbc_jax.finetune.ppo_config import PPOConfig
from postbc_jax.finetune.steer import steer
from tests.envelope.plain import Centre, Plain

CHUNKS, LEARNERS = 5, 2
# A rate at which the first updates throw the actor's mean far to one side: no action near 0 is left.
WILD = PPOConfig(iterations_per_chunk=1, environments=16, groups=1, minibatches=1, hidden=(4,), learning_rate=3.0)
CAUGHT = {'drifting': ('roll_back', 'learning_rate'), 'learning_rate_step': 1e-4}


@functools.cache
def compiled():
    """(mesh, the population's trainer), whose notes are the same whatever the responses."""
    mesh = parallel.mesh(LEARNERS)
    trainer = controlled(
        dsrl_ppo(lambda start: steer(Centre(), start.policy, 1.5, 1.5 * start.controls.bound), WILD),
        lambda: {monitoring.FILE: begin(monitoring.monitor_config(default.get_config()))},
    )
    return mesh, parallel.population(trainer, mesh)


def watched(directory, stop=None, **responses):
    """(rows of the monitor, final mode of every learner, all that it leaves); goes on where `directory` begins."""
    config = default.get_config()
    config.monitor.update(on=True, episodes=32, states=16, draws=4, enter=1, leave=1, **responses)
    point = Point(config, directory, Centre(), types.SimpleNamespace(), lambda: False)
    mesh, trainer = compiled()
    rows = [{'pretrain': 'bc', 'seed': seed, 'finetune': 'dsrl_ppo'} for seed in range(LEARNERS)]
    keys = parallel.learner_keys(jax.random.key(0), [0, 1], mesh)
    start = Start(Plain(jnp.zeros(LEARNERS), jnp.ones(LEARNERS)))
    stage = loop.Stage('dsrl_ppo', trainer, mesh, rows, CHUNKS, 1, directory / 'checkpoints' / 'dsrl_ppo')
    everyone = types.SimpleNamespace(mesh=mesh, rows=rows)
    finetuner = types.SimpleNamespace(meta={'algorithm': 'dsrl_ppo'})
    watch = watching.watch(point, finetuner, stage.trainer, everyone, start)

    def after_chunk(chunk, state, values):
        steps = values['env_steps'] if chunk else np.zeros(LEARNERS)
        state, seen = watch(chunk, state, values, steps)
        return loop.After([{'env_steps': int(n)} for n in steps], state, seen)

    with contextlib.ExitStack() as files:
        names = ('metrics', 'results', monitoring.FILE)
        opened = [files.enter_context(contextlib.closing(metrics.JsonLines(directory / f'{n}.jsonl'))) for n in names]
        others = {monitoring.FILE: opened[2]}
        kwargs = {'results': opened[1], 'others': others, 'after_chunk': after_chunk, 'save_every': 0.0, 'stop': stop}
        outcome = loop.run(stage, keys, start, opened[0], **kwargs)
    policies = stage.trainer.policy(outcome.state, start)
    modes = [float(jax.tree.map(lambda x, i=i: x[i], policies)(jnp.full(2, 0.5), keys[i])[0][0, 0]) for i in range(2)]
    bits = [np.asarray(x).tobytes() for x in jax.tree.leaves(outcome.state) if jnp.issubdtype(x.dtype, jnp.number)]
    return (
        metrics.read(directory / f'{monitoring.FILE}.jsonl'),
        modes,
        [(directory / f'{name}.jsonl').read_bytes() for name in names] + bits,
    )


@pytest.fixture(scope='module')
def caught(tmp_path_factory):
    return watched(tmp_path_factory.mktemp('caught'), **CAUGHT)


@pytest.fixture(scope='module')
def uncaught(tmp_path_factory):
    return watched(tmp_path_factory.mktemp('uncaught'))


def of(rows, seed, name):
    return [row[name] for row in rows if row['seed'] == seed]


def test_a_collapse_is_seen_and_without_responses_it_stays(uncaught):
    rows, modes, _ = uncaught
    for seed in range(LEARNERS):
        assert of(rows, seed, 'chunk') == list(range(CHUNKS + 1))
        assert of(rows, seed, 'success')[0] == 1 and of(rows, seed, 'success')[-1] < 0.2
        assert of(rows, seed, 'state')[-1] == 'drifting'
        assert 'success fell' in of(rows, seed, 'shown')[-1]
        assert not any(of(rows, seed, 'did'))
    assert min(map(abs, modes)) > 0.5


def test_a_collapse_is_taken_back_and_does_not_come_again(caught):
    rows, modes, _ = caught
    for seed in range(LEARNERS):
        states, did, success = (of(rows, seed, name) for name in ('state', 'did', 'success'))
        fell = states.index('drifting')
        assert success[fell] < 0.2 and 'rolled back to chunk' in did[fell][1]
        assert success[fell + 1 :] == [1.0] * (CHUNKS - fell) and states[-1] == 'healthy'
        assert of(rows, seed, 'learning_rate')[fell:] == pytest.approx([1e-4] * (CHUNKS + 1 - fell))
        assert np.diff(of(rows, seed, 'env_steps')).min() > 0  # what was played stays counted
    assert max(map(abs, modes)) < 0.5


def test_interrupted_where_it_is_taken_back_it_ends_with_the_same_bits_and_rows(caught, tmp_path):
    """Stopped after the chunk that is taken back, and again."""
    rows, _, whole = caught
    assert any('rolled back' in said for row in rows if row['chunk'] == 1 for said in row['did'])
    for chunk in (1, 2):
        with pytest.raises(loop.Preempted, match=f'after chunk {chunk} of'):
            watched(tmp_path, stop=iter([False, True]).__next__, **CAUGHT)
    assert watched(tmp_path, **CAUGHT)[2] == whole
