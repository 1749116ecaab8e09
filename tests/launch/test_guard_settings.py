"""Which guards and contexts a config may ask for, before anything runs."""

import pytest

from experiments import default
from launch import checks
from launch import config as settings
from postbc_jax.envelope.guide import MIN_STD

GATE = (('position', 2), ('context', 2))
LEFT = {'name': 'left', 'key': 'position', 'below': 0.0}


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'guard.mode': 'stop'}, "config.guard.mode='stop': choose one of project, mean, safe"),
        ({'guard.rate': 0.0}, 'config.guard.rate=0.0: must lie between 0 and 1'),
        ({'guard.mode': 'mean', 'subset': 1}, 'config.subset=1: the fit of the envelope leaves demonstrations out'),
        ({'guard.safe': 'somewhere'}, 'config.guard.safe=somewhere: nothing plays it without config.guard.mode'),
        ({'guard.steps': 30}, 'config.guard.steps=30: must be a multiple of steps_per_chunk=500'),
        ({'guard.batch_size': 0}, 'config.guard.batch_size=0: must be at least 1'),
        ({'guard.hidden': ()}, 'config.guard.hidden=(): must be a tuple of one or more'),
        ({'contexts': (LEFT | {'bound': 1.0},)}, 'config.contexts: bound=1.0: the guard keeps it'),
    ],
)
def test_what_cannot_be_guarded_is_refused(values, message):
    with pytest.raises(ValueError) as refusal:
        checks.check(settings.at_point(default.get_config(), values))
    assert message in str(refusal.value) and '\n' not in str(refusal.value)


def test_contexts_are_those_of_the_observation():
    config = settings.at_point(default.get_config(), {'contexts': (LEFT | {'alpha': 0.5},)})
    checks.check(config)
    assert settings.contexts(config, GATE).names == ('left', 'routine')
    with pytest.raises(ValueError, match=r"^config\.contexts: context 'left': key='position': the observation has x$"):
        settings.contexts(config, (('x', 4),))
    with pytest.raises(ValueError, match=r'^config\.contexts: context 0: 7: must be a mapping'):
        settings.contexts(settings.at_point(config, {'contexts': (7,)}), GATE)


def test_the_guide_is_the_configs_own_size():
    config = settings.at_point(default.get_config(), {'guard.hidden': (8,), 'policy.chunk': 3})
    made = settings.guide(config, 4, 1).policy
    assert (made.family, made.hidden, made.chunk, made.obs_size, made.min_std) == ('gaussian', (8,), 3, 4, MIN_STD)
