"""PolicyConfig: through JSON and back, and its refusals."""

import dataclasses
import json
import re

import pytest

from postbc_jax.policies import PolicyConfig, build

GOOD = {'family': 'diffusion', 'obs_size': 3, 'action_size': 2}


def test_json_round_trip_is_equal_and_hashes_alike():
    config = PolicyConfig(**GOOD, chunk=4, hidden=(8, 16), clip=None, activation='mish')
    again = PolicyConfig(**json.loads(json.dumps(dataclasses.asdict(config))))
    assert again == config and hash(again) == hash(config)
    assert build(again) is build(config)


@pytest.mark.parametrize(
    ('field', 'value', 'remedy'),
    [
        ('family', 'gan', 'choose one of gaussian, diffusion, flow'),
        ('obs_size', 0, 'must be a whole number, at least 1'),
        ('action_size', 2.0, 'must be a whole number, at least 1'),
        ('chunk', True, 'must be a whole number, at least 1'),
        ('hidden', (), 'must be a tuple of one or more whole numbers, each at least 1'),
        ('hidden', (32, -1), 'must be a tuple of one or more whole numbers, each at least 1'),
        ('hidden', 64, 'must be a tuple of one or more whole numbers, each at least 1'),
        ('activation', 'swish', 'must be one of relu, silu, gelu, mish, tanh'),
        ('layer_norm', 1, 'must be True or False'),
        ('time_features', 5, 'must be even: half sines, half cosines'),
        ('train_steps', 0, 'must be a whole number, at least 1'),
        ('inference_steps', 101, 'must be at most train_steps=100'),
        ('clip', 0.0, 'must be a positive number, or None for no bound'),
        ('clip', 'none', 'must be a positive number, or None for no bound'),
        ('min_std', float('nan'), 'must be a positive number'),
    ],
)
def test_bad_fields_are_refused_by_name_value_and_remedy(field, value, remedy):
    with pytest.raises(ValueError, match=re.escape(f'PolicyConfig.{field}={value!r}: {remedy}')):
        PolicyConfig(**{**GOOD, field: value})


def test_flow_may_take_more_steps_than_diffusions_train_steps():
    assert PolicyConfig('flow', 3, 2, inference_steps=200).inference_steps == 200
