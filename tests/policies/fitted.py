"""The shortest fit of a family, for tests of what a trained policy plays."""

import jax
import optax


def fit(family, example, key, steps, batch=128, rate=5e-3):
    """Parameters after so many steps of Adam; example(key) -> (obs, chunk) draws the data."""
    init_key, fit_key = jax.random.split(key)
    adam = optax.adam(optax.cosine_decay_schedule(rate, steps))
    params = family.init(init_key)

    def loss(params, key):
        data_key, loss_key = jax.random.split(key)
        obs, chunk = jax.vmap(example)(jax.random.split(data_key, batch))
        keys = jax.random.split(loss_key, batch)
        return jax.vmap(family.loss, (None, 0, 0, 0))(params, keys, obs, chunk)[0].mean()

    def step(carry, key):
        params, moments = carry
        updates, moments = adam.update(jax.grad(loss)(params, key), moments)
        return (optax.apply_updates(params, updates), moments), None

    return jax.lax.scan(step, (params, adam.init(params)), jax.random.split(fit_key, steps))[0][0]
