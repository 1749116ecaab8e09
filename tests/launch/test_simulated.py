"""Whole runs in a simulator's worker processes: from demonstrations, through deaths, to the same numbers."""

import json
import re
import signal
import time

import jax
import numpy as np
import pytest

from postbc_jax import checkpoint, data
from postbc_jax.finetune.steer import SteeredPolicy
from postbc_jax.policies import Policy
from postbc_jax.types import Demos
from tests.launch.tiny_runs import TINY, finish, rows

pytest.importorskip('gymnasium', reason='gymnasium is an extra: pip install postbc_jax[gymnasium]')
ENV = 'gymnasium:tests.simulators.reach:Reach-v0'
REACH = TINY.replace(
    '    return config',
    f"""    config.env = '{ENV}'
    config.obs_keys = 'position,goal'
    config.seeds = 1
    config.matched = False
    config.evaluate.update(episodes=4, coverage_starts=2, coverage_rollouts=2)
    config.finetune.algorithm = 'dsrl_sac'
    config.env_settings.workers = 2
    return config""",
)


def demonstrations():
    """Twelve straight ways to the goal."""
    rng = np.random.default_rng(0)
    episodes = []
    for goal in rng.uniform(-1, 1, (12, 2)):
        position = np.zeros(2)
        steps = []
        while np.linalg.norm(position - goal) >= 0.05:
            action = np.clip((goal - position) / 0.2, -1, 1)
            steps.append((np.concatenate([position, goal]), action))
            position = position + 0.2 * action
        episodes.append(steps)
    lengths = [len(steps) for steps in episodes]
    obs, actions = (np.array([pair[i] for steps in episodes for pair in steps], np.float32) for i in range(2))
    dones = np.zeros(len(obs), np.float32)
    dones[np.cumsum(lengths) - 1] = 1
    return Demos(
        obs=obs,
        actions=actions,
        rewards=dones,
        dones=dones,
        episode=np.repeat(np.arange(12, dtype=np.int32), lengths),
        names=tuple(f'demo_{i}' for i in range(12)),
        obs_keys=(('position', 2), ('goal', 2)),
        env_args=json.dumps({'env_name': ENV, 'type': 'gymnasium', 'env_kwargs': {}}),
    )


@pytest.fixture(scope='module')
def reach(tmp_path_factory):
    directory = tmp_path_factory.mktemp('reach')
    (directory / 'reach.py').write_text(REACH)
    data.robomimic.save(directory / 'demos.hdf5', demonstrations())
    return f'--config={directory / "reach.py"}', f'--config.demos={directory / "demos.hdf5"}'


@pytest.fixture(scope='module')
def undisturbed(reach, start, tmp_path_factory):
    directory = tmp_path_factory.mktemp('undisturbed')
    return directory, *finish(start(*reach, f'--workdir={directory}'))


def test_a_run_in_a_simulator_ends_with_its_curve(undisturbed):
    directory, _, errors = undisturbed
    curve = [row for row in rows(directory) if row.get('stage') == 'dsrl_sac']
    assert len(curve) == 2 * 4 and {row['task'] for row in curve} == {ENV}
    assert all(row['env_steps'] > 0 for row in curve if row['chunk'])
    assert (directory / 'done.json').exists()


def same(one, other):
    """Results and policies, bit for bit."""
    assert rows(one) == rows(other)
    for name, kind in (('pretrained', Policy), ('dsrl_sac', SteeredPolicy)):
        (mine, _), (theirs, _) = (checkpoint.load_policies(run / 'policies' / name, kind=kind) for run in (one, other))
        assert jax.tree.all(jax.tree.map(np.array_equal, mine, theirs))


def test_a_simulator_that_dies_ends_the_run_and_the_next_goes_on_to_the_same_numbers(
    reach, start, undisturbed, tmp_path, monkeypatch
):
    directory = tmp_path / 'run'
    monkeypatch.setenv('REACH_FAULT', str(tmp_path / 'died'))
    _, errors = finish(start(*reach, f'--workdir={directory}'), status=1)
    assert len(errors) == 1
    assert re.fullmatch(rf'error: {ENV}: environment [\d, ]+: worker \d died by signal 9', errors[0])
    assert (directory / 'checkpoints' / 'pretrain').is_dir()  # what was done before is kept
    finish(start(*reach, f'--workdir={directory}'))
    same(directory, undisturbed[0])


def test_a_run_killed_in_the_middle_of_finetuning_goes_on_to_the_same_numbers(reach, start, undisturbed, tmp_path):
    directory = tmp_path / 'run'
    process = start(*reach, f'--workdir={directory}')
    until = time.monotonic() + 300
    while time.monotonic() < until and process.poll() is None:
        written = directory / 'checkpoints' / 'dsrl_sac'
        if written.is_dir() and any(path.name.isdigit() for path in written.iterdir()):
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (directory / 'done.json').exists()
    finish(start(*reach, f'--workdir={directory}'))
    same(directory, undisturbed[0])
