"""Pretrained policies that another run takes over: where they are found, and all that is refused."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from experiments import default
from launch import config as settings
from launch import handover
from launch.workdir import claim
from postbc_jax import checkpoint
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.policies import Policy, PolicyConfig, build

LABELS = [{'pretrain': 'bc', 'alpha': 0.0, 'sigma': 0.0, 'seed': seed} for seed in (0, 1)]
KEYS = [['position', 2], ['context', 2]]
ENV = SimpleNamespace(obs_keys=(('position', 2), ('context', 2)), observation_size=4, action_size=1)


def policies(obs=4, action=1, chunk=1, **scaling):
    config = PolicyConfig('flow', obs, action, chunk, hidden=(8,), inference_steps=2)
    params = jax.vmap(build(config).init)(jax.random.split(jax.random.key(0), 2))
    ends = {'obs_low': (obs, -1), 'obs_high': (obs, 1), 'action_low': (action, -1), 'action_high': (action, 1)}
    arrays = {name: np.full((2, n), x, np.float32) for name, (n, x) in ends.items()} | scaling
    return Policy(params, Normaliser(**arrays, floor=np.full(2, 0.01, np.float32)), config)


def config(**values):
    return settings.at_point(default.get_config(), {name.replace('__', '.'): value for name, value in values.items()})


def check(stack=None, labels=LABELS, keys=KEYS, **values):
    return handover.check(stack or policies(), labels, keys, ENV, config(**values), 'there')


def test_policies_that_fit_pass():
    assert check() == []
    assert check(keys=None) == [
        'there: does not say which obs_keys it was pretrained with: taken to be position 2, context 2'
    ]
    (note,) = check(keys=[['state', 4]], allow_other_env=True)
    assert note.startswith('there: obs_keys: the policies observe state 4, but config.env=gate observes position 2, ')
    assert check(policies(action_high=np.full((2, 1), 180, np.float32)), action_bound=0.0) == []


NAN = np.full((2, 4), np.nan, np.float32)


@pytest.mark.parametrize(
    ('made', 'values', 'says'),
    [
        (
            {'obs': 5},
            {},
            r'obs: the policies observe 5 \(position 2, context 2\), but config.env=gate gives 4 \(',
        ),
        ({'action': 2}, {}, 'there: actions: the policies play 2, but config.env=gate takes 1: choose the environment'),
        ({'chunk': 4}, {}, r'config\.policy\.chunk=1: .*decide 4 actions at a time: give --config\.policy\.chunk=4'),
        ({}, {'policy__chunk': 4}, r'config\.policy\.chunk=4: .*decide 1 actions at a time'),
        ({}, {'keys': [['context', 2], ['position', 2]], 'allow_other_env': True}, 'obs_keys: .* observe context 2, p'),
        (
            {},
            {'keys': [['state', 4]]},
            r'observe state 4, but .*--config\.allow_other_env=True where only',
        ),
        (
            {'obs_low': np.zeros((2, 3), np.float32)},
            {},
            r'\.obs_low: has shape \(2, 3\), but .* need \(2, 4\)',
        ),
        ({'action_low': np.zeros(1, np.float32)}, {}, r'normaliser\.action_low: has shape \(1,\), but'),
        ({'obs_high': NAN}, {}, r'there: normaliser\.obs: its ranges are not finite, or upside down'),
        ({'obs_high': NAN * 0 - 2}, {}, r'normaliser\.obs: its ranges are not finite'),
        ({'obs_high': np.full((2, 4), -2, np.float32)}, {}, r'normaliser\.obs: its ranges are not finite, or upside'),
        (
            {'action_high': np.full((2, 1), 180, np.float32)},
            {},
            r'dimension 0 reaches 180, beyond config\.action_b',
        ),
        ({}, {'labels': [LABELS[0], {'pretrain': 'bc', 'alpha': 0.0, 'sigma': 0.0}]}, "label 1 has no 'seed'"),
    ],
)
def test_policies_that_do_not_fit_are_refused(made, values, says):
    with pytest.raises(ValueError, match=says) as refusal:
        check(policies(**made), **values)
    assert '\n' not in str(refusal.value)


def test_policies_are_found_in_their_folder_and_in_a_work_directory(tmp_path):
    folder = tmp_path / 'run' / 'policies' / 'pretrained'
    checkpoint.save_policy(folder, policies(), LABELS)
    assert handover.find(str(folder)) == handover.find(str(tmp_path / 'run')) == folder
    (tmp_path / 'sweep' / 'point_0000').mkdir(parents=True)
    (tmp_path / 'begun').mkdir()
    for name, says in (
        ('sweep', 'sweep/point_0000'),
        ('none', 'there is no such directory'),
        ('begun', 'run --stage=pretrain there'),
    ):
        with pytest.raises(ValueError, match=rf'config\.init_from={tmp_path}/{name}: .*{says}'):
            handover.find(str(tmp_path / name))


def test_what_was_taken_over_cannot_be_changed(tmp_path):
    """They were evaluated in that environment, though nothing was trained here."""
    claim(tmp_path, config(init_from='there'))
    checkpoint.save_policy(tmp_path / 'policies' / 'pretrained', policies(), LABELS)
    claim(tmp_path, config(init_from='there', finetune__chunks=2, dsrl_ppo__groups=4))
    for values, says in (({'init_from': 'elsewhere'}, 'init_from='), ({'init_from': 'there', 'env': 'lift'}, 'env=')):
        with pytest.raises(ValueError, match=f'was begun with {says}'):
            claim(tmp_path, config(**values, finetune__chunks=2, dsrl_ppo__groups=4))
