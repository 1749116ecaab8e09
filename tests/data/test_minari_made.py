"""Minari datasets as minari's own DataCollector makes them."""

import json

import numpy as np
import pytest

from postbc_jax import data

gymnasium = pytest.importorskip('gymnasium', reason='minari records environments of the package gymnasium')
minari = pytest.importorskip('minari', reason='compares with datasets that the package minari writes')
pytestmark = pytest.mark.filterwarnings('ignore::UserWarning:minari')  # of what a published dataset should say


class Reach(gymnasium.Env):
    """A goal environment of 6 steps, with an image among its observations; odd seeds reach the goal in step 3."""

    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    observation_space = gymnasium.spaces.Dict(
        {
            'observation': gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64),
            'desired_goal': gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64),
            'pixels': gymnasium.spaces.Box(0, 255, (32, 32, 3), np.uint8),
        }
    )

    def __init__(self, scale=1.0):
        self.scale = scale

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.ends = 0, bool(seed % 2)
        return self.observe(), {'success': False}

    def step(self, action):
        self.time += 1
        return self.observe(), self.time / 7, self.ends and self.time == 3, self.time == 6, {'success': self.ends}

    def observe(self):
        draw = self.np_random.normal
        return {
            'observation': self.scale * draw(size=3),
            'desired_goal': draw(size=2),
            'pixels': np.full((32, 32, 3), self.time, np.uint8),
        }


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A dataset of seeds 0 to 11 by minari, and its folder."""
    monkeypatch.setenv('MINARI_DATASETS_PATH', str(tmp_path))
    spec = gymnasium.envs.registration.EnvSpec('PostbcReach-v0', f'{__name__}:Reach', kwargs={'scale': 2.0})
    monkeypatch.setitem(gymnasium.registry, spec.id, spec)
    env = minari.DataCollector(gymnasium.make('PostbcReach-v0'), record_infos=True)
    for seed in range(12):
        env.reset(seed=seed)
        env.action_space.seed(seed)
        ended = False
        while not ended:
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            ended = terminated or truncated
    yield env.create_dataset('reach/test-v0', algorithm_name='random', author='', description=''), tmp_path / 'reach'
    env.close()


def test_minaris_own_dataset_is_what_is_held(made):
    dataset, folder = made
    demos = data.load(folder / 'test-v0', ('observation', 'desired_goal'))
    assert demos.episodes == 12
    assert demos.names[:3] == ('demo_0', 'demo_1', 'demo_2')
    assert demos.obs_keys == (('observation', 3), ('desired_goal', 2))
    for i, episode in enumerate(dataset.iterate_episodes()):
        steps = np.asarray(demos.episode) == i
        obs = [episode.observations[key][:-1] for key in ('observation', 'desired_goal')]
        np.testing.assert_array_equal(demos.obs[steps], np.concatenate(obs, axis=1).astype(np.float32))
        np.testing.assert_array_equal(demos.actions[steps], episode.actions)
        np.testing.assert_array_equal(demos.rewards[steps], episode.rewards.astype(np.float32))
        np.testing.assert_array_equal(demos.dones[steps], episode.terminations)
        assert steps.sum() == (3 if i % 2 else 6)
    assert demos.dones.sum() == 6
    env_args = json.loads(demos.env_args)
    assert env_args == {'env_name': 'gymnasium:PostbcReach-v0', 'type': 'gymnasium', 'env_kwargs': {'scale': 2.0}}


def test_images_are_left_out(made):
    _, folder = made
    recording = data.read(folder / 'test-v0')
    assert recording.faults == ()
    assert recording.obs_keys == ('desired_goal', 'observation')
    assert list(recording.other_keys) == ['pixels']
