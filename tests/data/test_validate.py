"""Demos made in memory: what fits together passes untouched, what does not is refused by name and number."""

import numpy as np
import pytest

from postbc_jax.data.validate import check_env, validate


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
