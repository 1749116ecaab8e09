"""host_call: batched once, whole, and larger than what deadlocks jax.pure_callback, on every device at once."""

import jax
import jax.numpy as jnp
import numpy as np

from postbc_jax.envs.callback import host_call


def test_it_sees_the_whole_batch_and_gives_a_pytree():
    shapes = []

    def function(x, y):
        shapes.append((x.shape, y.shape))
        return {'sum': x.sum(-1) + y, 'double': 2 * x}

    result = {'sum': jax.ShapeDtypeStruct((), jnp.float32), 'double': jax.ShapeDtypeStruct((3,), jnp.float32)}
    x, y = jnp.arange(24.0).reshape(4, 2, 3), jnp.arange(4.0)
    call = jax.vmap(jax.vmap(lambda x, y: host_call(function, result, x, y), in_axes=(0, None)))
    for found in (call(x, y), jax.jit(call)(x, y)):
        np.testing.assert_array_equal(found['sum'], x.sum(-1) + y[:, None])
        np.testing.assert_array_equal(found['double'], 2 * x)
    assert {shape[0] for shape in shapes} == {(4, 2, 3)}


def test_large_arguments_on_every_device_do_not_deadlock(start_python, finish_python):
    """jax.pure_callback stands still here: its copies wait for the threads that wait for it."""
    process = start_python(
        """
        import jax, jax.numpy as jnp
        from jax.sharding import PartitionSpec as P
        from postbc_jax import parallel
        from postbc_jax.envs.callback import host_call
        mesh = parallel.mesh(4, jax.devices())
        size = 200_000

        def one(key):
            def step(x, _):
                return host_call(lambda x: x + 1, jax.ShapeDtypeStruct((size,), jnp.float32), x), None
            return jax.lax.scan(step, jax.random.uniform(key, (size,)), length=50)[0].mean()

        run = parallel.pmap(one, mesh, (P(parallel.LEARNER),), P(parallel.LEARNER))
        print(run(parallel.learner_keys(jax.random.key(0), range(4), mesh)).round().tolist())
        """,
        devices=4,
    )
    assert all(abs(mean - 50.5) < 0.6 for mean in finish_python(process))
