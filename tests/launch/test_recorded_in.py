"""robosuite's tasks are made as the file of demonstrations says; what the config sets wins."""

import json

import numpy as np
import pytest

from experiments import default
from launch import config as settings
from postbc_jax.data import robomimic
from postbc_jax.types import Demos

KWARGS = {'control_freq': 10, 'robots': ['Panda'], 'has_renderer': True, 'camera_names': ['agentview']}


def file_of(path, **env_args):
    demos = Demos(
        obs=np.zeros((4, 2), np.float32),
        actions=np.zeros((4, 7), np.float32),
        rewards=np.zeros(4, np.float32),
        dones=np.array([0, 0, 0, 1], np.float32),
        episode=np.zeros(4, np.int32),
        names=('demo_0',),
        obs_keys=(('object', 2),),
        env_args=json.dumps({'env_name': 'Lift', 'type': 1, 'env_kwargs': KWARGS} | env_args),
    )
    robomimic.save(str(path), demos)
    return str(path)


@pytest.mark.parametrize(
    ('env_args', 'set_here', 'asked'),
    [
        ({'env_version': '1.4.1'}, None, {'arguments': {'control_freq': 10, 'robots': ['Panda']}, 'layout': '1.4.1'}),
        ({'env_version': '1.5.2'}, None, {'arguments': {'control_freq': 10, 'robots': ['Panda']}, 'layout': '1.5.2'}),
        ({}, '{"control_freq": 20}', {'arguments': '{"control_freq": 20}', 'layout': '1.4.1'}),
        ({'env_name': 'PickPlaceCan'}, None, {}),  # another task's say nothing; the file is refused later
        ({'type': 'brax'}, None, {}),
    ],
)
def test_the_simulator_is_made_as_the_file_says(tmp_path, monkeypatch, env_args, set_here, asked):
    config = default.get_config()
    config.env, config.demos = 'robosuite:Lift', file_of(tmp_path / 'demos.hdf5', **env_args)
    config.env_settings.arguments = set_here
    made = []
    monkeypatch.setattr(settings, 'made', lambda name, given: made.append((name, json.loads(given))))
    settings.environment(config)
    assert made == [('robosuite:Lift', asked)]
