"""Which errors are one line and which keep their traceback, and what of a simulator's failure is shown."""

import traceback

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from launch import arms, errors
from launch import config as settings
from postbc_jax import metrics, parallel


def raised(action):
    with pytest.raises(Exception) as caught:
        action()
    return caught.value


def on_a_learner(fn):
    """fn inside jit, shard_map and vmap."""
    return lambda: parallel.gather(
        parallel.pmap(fn, parallel.mesh(1), (P('learner'),), P('learner'))(jnp.zeros((1, 3)))
    )


@pytest.mark.parametrize(
    ('action', 'says'),
    [
        (lambda: settings.load_sweep('none.py'), 'there is no file none.py'),
        (lambda: parallel.mesh(0), 'learners=0'),
        (lambda: metrics.decode('{', 'm.jsonl', 3), 'm.jsonl: line 3 is not JSON'),  # from a ValueError of json's
        (on_a_learner(lambda x: x[: parallel.mesh(0).size]), 'learners=0'),
    ],
)
def test_what_this_project_refuses_is_one_line(action, says):
    said = errors.refusal(raised(action))
    assert says in said and '\n' not in said


@pytest.mark.parametrize(
    'action',
    [
        lambda: arms.arm_of({'pretrain': 'post_bc', 'alpha': 'one'}),  # float's: C code has no frame of its own
        lambda: parallel.learner_keys(jax.random.key(0), 3, parallel.mesh(1)),  # vmap's: jax hides its frames
        lambda: metrics.read('\0'),  # Python's library's
        lambda: np.concatenate([]),  # nobody's
        on_a_learner(lambda x: jnp.stack([])),
        lambda: settings.chunks({}, 'posterior'),  # no ValueError
    ],
)
def test_a_fault_keeps_its_traceback(action):
    assert errors.refusal(raised(action)) is None


def test_the_faults_that_look_like_refusals_are_value_errors():
    """Or the test above would pass for another reason."""
    for action in (lambda: arms.arm_of({'pretrain': 'post_bc', 'alpha': 'one'}), lambda: metrics.read('\0')):
        assert isinstance(raised(action), ValueError)
    error = raised(lambda: parallel.learner_keys(jax.random.key(0), 3, parallel.mesh(1)))
    *_, last = traceback.extract_tb(error.__traceback__)
    assert isinstance(error, ValueError) and last.filename.endswith('postbc_jax/parallel.py')


class HostError(RuntimeError):
    """Stands for envs.pool's."""


def fails(x):
    raise HostError('robosuite:Lift: environment 3: the simulation is unstable')


@pytest.mark.parametrize(
    'action',
    [
        lambda: fails(0),
        on_a_learner(
            lambda x: jax.pure_callback(fails, jax.ShapeDtypeStruct((3,), jnp.float32), x, vmap_method='broadcast_all')
        ),
    ],
)
def test_a_simulator_that_fails_is_one_line(action):
    error = raised(action)
    assert errors.refusal(error) == 'robosuite:Lift: environment 3: the simulation is unstable'


def test_another_runtime_error_keeps_its_traceback():
    def breaks(x):
        raise KeyError('HostError')

    shape = jax.ShapeDtypeStruct((3,), jnp.float32)
    action = on_a_learner(lambda x: jax.pure_callback(breaks, shape, x, vmap_method='broadcast_all'))
    assert errors.refusal(raised(action)) is None
