"""Demos made in memory: what fits together passes untouched, what does not is refused by name and number."""

import json

import numpy as np
import pytest

from postbc_jax.data.validate import check_env, check_origin, validate


def test_good_demos_pass_untouched(demos):
    assert validate(demos, 'here') is demos


CHANGES = {
    'short obs': (lambda d: {'obs': d.obs[:-1]}, ['obs: 14 rows', '15']),
    'long episode': (lambda d: {'episode': np.append(d.episode, 2)}, ['episode: 16 rows', '15']),
    'flat obs': (lambda d: {'obs': d.obs[:, 0]}, ['obs: shape (15,)']),
    'obs_keys': (lambda d: {'obs_keys': (('position', 3),)}, ['obs: dimension 5', 'position 3', 'make 3']),
    'no obs_keys': (lambda d: {'obs_keys': ()}, ['none', 'make 0']),
    'names': (lambda d: {'names': d.names[:2]}, ['holds 2', '2 names']),
    'more names': (lambda d: {'names': (*d.names, 'demo_11'), 'operators': ()}, ['demo_11: actions: 0 steps']),
    'same names': (lambda d: {'names': ('a', 'b', 'a')}, ['a: names 2 episodes']),
    'operators': (lambda d: {'operators': ('ann',)}, ['operators: 1 entries for 3']),
    'order': (lambda d: {'episode': d.episode[::-1]}, ['step 7 goes back from 2 to 1']),
    'negative': (lambda d: {'episode': d.episode - 1}, ['holds -1', '3 names']),
    'nan': (
        lambda d: {'actions': np.where(np.arange(15)[:, None] == 9, np.nan, d.actions)},
        ['demo_10: actions: step 1'],
    ),
    'bound': (lambda d: {'actions': d.actions + 2}, ['demo_0: actions: step 0', 'such values, the largest']),
    'env_args': (lambda d: {'env_args': 'gate'}, ['env_args', 'JSON']),
}


@pytest.mark.parametrize('name', CHANGES)
def test_wrong_demos_are_refused_by_name(demos, name):
    change, words = CHANGES[name]
    with pytest.raises(ValueError) as error:
        validate(demos.replace(**change(demos)), 'here.hdf5')
    for word in ('here.hdf5: ', *words):
        assert word in str(error.value)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('bound', 'value', 'passes'), [(1.0, 1.0009, True), (1.0, -1.0011, False), (2.0, 2.0019, True)]
)
def test_tolerance_is_a_thousandth_of_the_bound(demos, bound, value, passes):
    actions = demos.actions.copy()
    actions[6, 1] = value
    demos = demos.replace(actions=actions)
    if passes:
        validate(demos, 'here', bound)
    else:
        with pytest.raises(ValueError, match='demo_2: actions: step 1, dimension 1 is -1.0011'):
            validate(demos, 'here', bound)


def test_environment_dimensions(demos):
    check_env(demos, 5, 2, 'here')
    with pytest.raises(ValueError, match=r'here: every demo: obs: dimension 5 \(position 3 \+ context 2\).*is 19'):
        check_env(demos, 19, 2, 'here')
    with pytest.raises(ValueError, match='here: every demo: actions: dimension 2, .*is 7'):
        check_env(demos, 5, 7, 'here')


ROBOSUITE = {
    'env_name': 'Lift',
    'env_version': '1.4.1',
    'type': 1,
    'env_kwargs': {'control_freq': 20, 'robots': ['Panda']},
}
OURS = {'env_name': 'lift', 'env_version': '1', 'type': 'brax', 'env_kwargs': {'horizon': 60}}
FETCH = {'env_name': 'FetchReach-v4', 'type': 'gymnasium', 'env_kwargs': {}}


@pytest.mark.parametrize(
    ('recorded', 'env', 'says'),
    [
        (ROBOSUITE, OURS, "would act in 'lift' of brax: choose --config.env=robosuite:Lift, or"),
        (ROBOSUITE, OURS | {'env_name': 'Lift'}, "'Lift' of robosuite, but the policies would act in 'Lift' of brax"),
        (OURS, ROBOSUITE, 'choose --config.env=lift, or --config.allow_other_env=True'),
        (OURS | {'env_name': 'can'}, OURS | {'env_name': 'square'}, "'can' of brax, but"),
        (ROBOSUITE | {'env_name': 'PickPlaceCan'}, ROBOSUITE, 'choose --config.env=robosuite:PickPlaceCan'),
        (FETCH, FETCH | {'env_name': 'FetchPush-v4'}, 'choose --config.env=gymnasium:FetchReach-v4'),
        ({'env_name': 'elsewhere'}, OURS, "recorded in 'elsewhere', but the policies would act in 'lift' of brax"),
        ({'env_name': 'Kitchen', 'type': 3}, OURS, "recorded in 'Kitchen' of 3"),
    ],
)
def test_demos_of_another_environment_are_refused(recorded, env, says):
    with pytest.raises(ValueError) as error:
        check_origin(json.dumps(recorded), env, 'here')
    assert str(error.value).startswith('here: recorded in ') and says in str(error.value)
    (note,) = check_origin(json.dumps(recorded), env, 'here', other_env=True)
    assert note.startswith('here: recorded in ') and 'allow_other_env' in note


@pytest.mark.parametrize(
    ('recorded', 'env'),
    [
        ({}, OURS),
        ({'env_name': 'Lift', 'type': 1}, {}),
        ({'env_name': 7, 'type': []}, OURS),
        (ROBOSUITE, ROBOSUITE | {'env_version': '1.5.2'}),
        ({'env_name': 'Lift'}, ROBOSUITE | {'env_name': 'robosuite:Lift'}),
        (FETCH | {'env_name': 'gymnasium:FetchReach-v4', 'type': 2}, FETCH),
        (FETCH, FETCH | {'env_name': 'gymnasium_robotics:FetchReach-v4'}),
        (FETCH | {'env_kwargs': None}, FETCH | {'env_kwargs': {'a': 1}}),
    ],
)
def test_the_same_environment_or_an_unknown_one_passes(recorded, env):
    assert check_origin(json.dumps(recorded), env, 'here') == ()


def test_other_settings_of_the_same_environment_are_said():
    kwargs = {'control_freq': 10, 'has_renderer': True, 'camera_names': [], 'only_theirs': 1, 'robots': ['Panda']}
    ours = ROBOSUITE | {
        'env_kwargs': {'control_freq': 20, 'has_renderer': False, 'camera_names': None, 'robots': ('Panda',)}
    }
    (note,) = check_origin(json.dumps(ROBOSUITE | {'env_kwargs': kwargs}), ours, 'here')
    assert note == 'here: recorded with other settings of the environment: control_freq=10, not 20'
