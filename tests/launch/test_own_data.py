"""The launchers on the user's own demonstrations and environment, in a sweep, and finetuned by SAC."""

import numpy as np

from postbc_jax import data
from postbc_jax.data import npz, robomimic
from postbc_jax.types import Demos
from tests.launch.tiny_runs import CHUNKS, LEARNERS, finish, rows


def test_a_sweep_over_files_of_demonstrations(whole, tiny, start, tmp_path):
    """Point 0 selects the whole run's data from a larger robomimic file, 1 has no file, 2 is npz finetuned by SAC."""
    demos = data.load(str(whole[0] / 'demos.hdf5'))
    one = demos.episode == 0
    position, context = np.split(demos.obs, 2, axis=1)
    larger = Demos(  # keys in another order, one that is not wanted, and a demo that is not
        obs=np.concatenate([np.concatenate([context, position[:, :1], position], 1), np.ones((one.sum(), 5))]),
        actions=np.concatenate([demos.actions, demos.actions[one]]),
        rewards=np.concatenate([demos.rewards, demos.rewards[one]]),
        dones=np.concatenate([demos.dones, demos.dones[one]]),
        episode=np.concatenate([demos.episode, demos.episode[one] + demos.episodes]),
        names=(*demos.names, f'demo_{demos.episodes}'),
        obs_keys=(('context', 2), ('force', 1), ('position', 2)),
    )
    robomimic.save(str(tmp_path / 'larger.hdf5'), larger, masks={'good': list(demos.names)})
    npz.save(str(tmp_path / 'flat.npz'), demos)
    points = [
        {'demos': f'{tmp_path}/larger.hdf5', 'obs_keys': 'position,context', 'mask': 'good'},
        {'demos': f'{tmp_path}/none.npz'},
        {'demos': f'{tmp_path}/flat.npz', 'finetune.algorithm': 'dsrl_sac'},
    ]
    file, workdir = tmp_path / 'sweep.py', tmp_path / 'runs'
    file.write_text(f'{tiny.read_text()}\n\ndef sweep():\n    return {points!r}\n')
    out, err = finish(start(f'--config={file}', f'--workdir={workdir}'), status=1)
    assert [line.split(':')[0] for line in out if line.startswith('point')] == [
        'point 0, 1 of 3',
        'point 1, 2 of 3',
        'point 2, 3 of 3',
    ]
    assert err == [
        f'error: point 1: {tmp_path}/none.npz: no such file: check the path',
        'error: 1 of 3 points failed: 1',
    ]
    assert (workdir / 'point_0000' / 'results.jsonl').read_bytes() == (whole[0] / 'results.jsonl').read_bytes()
    curve = [row for row in rows(workdir / 'point_0002') if row['finetune'] == 'dsrl_sac']
    assert len(curve) == LEARNERS * (CHUNKS + 1)
    assert {row['env_steps'] for row in curve} == {0, 48, 64, 80}  # the warm-up's too
    report = (workdir / 'report.html').read_text()
    assert 'dsrl_ppo' in report and 'dsrl_sac' in report
    together = rows(workdir)
    assert [row.pop('point') for row in together] == [0] * len(rows(workdir / 'point_0000')) + [2] * len(
        rows(workdir / 'point_0002')
    )
    said = [{name: row.pop(f'config.{name}') for name in points[0 if i < 30 else 2]} for i, row in enumerate(together)]
    assert said == [points[0]] * 30 + [points[2]] * 30
    assert together == rows(workdir / 'point_0000') + rows(workdir / 'point_0002')

    out, err = finish(start(f'--config={file}', f'--workdir={workdir}', '--point=2', module='launch.run'))
    assert (out, err) == ([f'{workdir}/point_0002: finished already, nothing to do'], [])


OWN_ENVIRONMENT = """
import os

import jax
import jax.numpy as jnp
from brax import envs
from brax.envs import fast


class HostError(RuntimeError):
    pass


def look(x):
    if os.path.exists('{file}'):
        raise HostError('brax:position: worker 1 died')
    return x


class Position(fast.Fast):
    def reset(self, rng):
        return super().reset(rng).replace(metrics={'position': jnp.zeros(())})

    def step(self, state, action):
        state = super().step(state, action)
        shape = jax.ShapeDtypeStruct((), jnp.float32)
        position = jax.pure_callback(look, shape, state.obs[0], vmap_method='expand_dims')
        return state.replace(metrics={'position': position})


envs.register_environment('position', Position)
"""


def test_an_environment_of_brax_with_demonstrations_from_elsewhere(tiny, start, tmp_path):
    """One of the user's own, which the experiment's file registers: brax's physics take minutes to compile.

    It fails on the host in its first episode, after everything was trained, and goes on when that was repaired.
    """
    file, broken = tmp_path / 'position.py', tmp_path / 'broken'
    file.write_text(tiny.read_text() + OWN_ENVIRONMENT.replace('{file}', str(broken)))
    broken.touch()
    random = np.random.default_rng(0)
    steps = np.arange(24)
    np.savez(  # no more than the documented arrays
        tmp_path / 'random.npz',
        obs=random.normal(size=(24, 2)),
        actions=random.uniform(-1, 1, (24, 1)),
        rewards=np.zeros(24),
        dones=(steps % 6 == 5).astype(float),
        episode=steps // 6,
    )
    settings = {
        'env': 'brax:position',
        'env_settings.success_metric': 'position',
        'env_settings.success_threshold': 0.002,
        'env_settings.horizon': 4,
        'env_settings.backend': 'generalized',
        'demos': tmp_path / 'random.npz',
        'policy.chunk': 2,
        'finetune.chunks': 1,
    }
    flags = [f'--config.{name}={value}' for name, value in settings.items()]
    command = f'--config={file}', f'--workdir={tmp_path}/run', *flags
    out, err = finish(start(*command), status=1)
    assert out[0].startswith(f'[1/5] demonstrations: 4 episodes, 24 steps, operators unknown; {tmp_path}/random.npz')
    assert err == ['error: brax:position: worker 1 died']
    broken.unlink()
    out, err = finish(start(*command))
    assert out[0] == f'{tmp_path}/run: begun before, goes on from its checkpoints' and err == []
    found = rows(tmp_path / 'run')
    assert len(found) == 3 * LEARNERS and {row['task'] for row in found} == {'brax:position'}
    assert found[-1]['env_steps'] > 0
