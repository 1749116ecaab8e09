import dataclasses
import json

import jax
import numpy as np
import pytest

from postbc_jax.envelope.contexts import Context, Contexts, resolve

KEYS = (('robot', 3), ('object', 2))
SPECS = (
    {'name': 'gripping', 'key': 'object', 'index': 1, 'below': 0.1, 'alpha': 0.5, 'rate': 0.1, 'bound': 1.0},
    {'name': 'high', 'column': 2, 'above': 1.0, 'below': 2.0},
)


def test_the_first_that_holds_counts_and_the_rest_is_last():
    contexts = resolve(SPECS, KEYS)
    assert contexts.names == ('gripping', 'high', 'routine')
    obs = np.zeros((6, 5), np.float32)
    obs[:, 4] = [0.0, 0.1, 0.1, 0.1, 0.1, 0.0]
    obs[:, 2] = [0.0, 0.5, 1.0, 1.9, 2.0, 1.5]  # the bound above is held, the one below is not
    np.testing.assert_array_equal(contexts(obs), [0, 2, 1, 1, 2, 0])
    np.testing.assert_array_equal(jax.jit(jax.vmap(contexts))(obs), [0, 2, 1, 1, 2, 0])


def test_what_differs_there():
    contexts = resolve(SPECS, KEYS)
    np.testing.assert_array_equal(contexts.alphas(), [0.5, 1, 1])
    assert contexts.rates(0.05) == (0.1, 0.05, 0.05)
    np.testing.assert_array_equal(contexts.bounds(), [1, np.inf, np.inf])
    assert Contexts().bounds() is None and Contexts().names == ('routine',)
    assert Contexts()(np.zeros((4, 2))).tolist() == [0] * 4


def test_json_gives_them_back():
    contexts = resolve(SPECS, KEYS)
    assert Contexts(**json.loads(json.dumps(dataclasses.asdict(contexts)))) == contexts
    assert hash(contexts) == hash(resolve(SPECS, KEYS))


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        ({'name': 'a', 'key': 'nope', 'above': 0}, "context 'a': key='nope': the observation has robot, object"),
        ({'name': 'a', 'key': 'object', 'index': 2, 'above': 0}, 'index=2: object has 2 entries'),
        ({'name': 'a', 'above': 0}, 'give either key, of robot, object, or column'),
        ({'name': 'a', 'column': 5, 'above': 0}, 'column=5: the observation has 5'),
        ({'name': 'a', 'column': 1}, 'give above or below'),
        ({'name': 'a', 'column': 1, 'above': 2, 'below': 1}, 'above < below'),
        ({'name': 'a', 'column': 1, 'above': 0, 'gain': 1}, "'gain': a context has name, column"),
        ({'name': 'a', 'column': 1, 'above': 0, 'rate': 1.0}, 'rate=1.0: must lie between 0 and 1'),
        ({'name': 'a', 'column': 1, 'above': 0, 'bound': 0}, 'bound=0: must be above 0'),
        ({'name': 'a', 'column': 1, 'above': 0, 'alpha': -1}, 'alpha=-1: must be at least 0'),
        ({'name': 'routine', 'column': 1, 'above': 0}, "context 'routine': is there 2 times"),
        ({'column': 1, 'above': 0}, "'name': a context has name"),
    ],
)
def test_what_is_no_context_is_refused_in_a_line(spec, message):
    with pytest.raises(ValueError) as refusal:
        resolve([spec], KEYS)
    assert message in str(refusal.value) and '\n' not in str(refusal.value)


def test_of_one_alone():
    assert Context('a', 0, above=0.0).limits == (0.0, np.inf)
