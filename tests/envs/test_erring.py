"""The operators who err: in the way that is told, and in no other."""

import jax
import jax.numpy as jnp
import numpy as np

from postbc_jax import envs
from postbc_jax.envs.record import rollouts


def test_those_who_err_do_so_in_the_way_that_is_told():
    """Beside steady from the same start: one stands still for 12 steps with a closed hand, one goes astray in y."""
    env = envs.make('lift', rare_fraction=0.5, horizon=100)
    three = [env.operators()['steady'], *(env.erring()[name] for name in ('freezing', 'straying'))]
    keys = jnp.stack([jax.random.key(2)] * 3)
    steps = jax.tree.map(np.asarray, rollouts(env, jax.tree.map(lambda *x: jnp.stack(x), *three), keys))
    length = np.argmax(steps['dones'], axis=1) + 1
    steady, freezing, straying = ({name: x[i, :n] for name, x in steps.items()} for i, n in enumerate(length))
    still = [(np.abs(one['actions'][:, :6]) < 1e-6).all(axis=1) for one in (steady, freezing)]
    assert len(freezing['dones']) - len(steady['dones']) == 12 == still[1].sum() - still[0].sum()
    assert (freezing['actions'][still[1], 6] == 1).all()
    assert 0.1 < straying['obs'][:, 1].max() - steady['obs'][:, 1].max() <= 0.15  # from where steady begins or hovers
    np.testing.assert_array_equal(straying['actions'][:3], steady['actions'][:3])
