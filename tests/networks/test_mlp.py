"""MLPs against numpy, by hand, and by their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax import networks
from postbc_jax.networks import mlp

OBS = jnp.array([0.3, -0.7, 1.1])
X = jnp.array([[0.5, -1.0], [0.2, 0.9]])


def dense(x, layer):
    return x @ np.asarray(layer['kernel'], np.float64) + np.asarray(layer['bias'], np.float64)


def test_mlp_is_dense_layers_with_relu_between():
    net = networks.MLP((5, 4), 2)
    params = net.init(jax.random.key(0), OBS)
    layers = params['params']
    h = np.maximum(dense(np.asarray(OBS), layers['Dense_0']), 0)
    h = np.maximum(dense(h, layers['Dense_1']), 0)
    np.testing.assert_allclose(net.apply(params, OBS), dense(h, layers['Dense_2']), rtol=1e-5)


def test_mlp_without_hidden_layers_is_linear():
    net = networks.MLP((), 2)
    params = net.init(jax.random.key(0), OBS)
    np.testing.assert_allclose(net.apply(params, 2 * OBS), 2 * net.apply(params, OBS), rtol=1e-6)


def test_layer_norm_comes_before_the_activation():
    net = networks.MLP((6,), 1, 'tanh', layer_norm=True)
    params = net.init(jax.random.key(0), OBS)
    layers = params['params']
    h = dense(np.asarray(OBS), layers['Dense_0'])
    h = np.tanh((h - h.mean()) / np.sqrt(h.var() + 1e-6))
    np.testing.assert_allclose(net.apply(params, OBS), dense(h, layers['Dense_1']), rtol=1e-4)


def test_out_scale_zero_starts_at_zero_and_small_scale_starts_small():
    def out(scale):
        net = networks.MLP((64,), 200, out_scale=scale)
        return np.asarray(net.apply(net.init(jax.random.key(1), OBS), OBS))

    assert not out(0.0).any()
    np.testing.assert_allclose(out(1e-4), 1e-2 * out(1.0), rtol=1e-4)


def test_mish_is_x_tanh_softplus_and_its_gradient_is_finite():
    x = np.array([-90.0, -5.0, -1.2, 0.0, 0.3, 4.0, 19.0, 25.0, 95.0])
    np.testing.assert_allclose(mlp.mish(jnp.asarray(x)), x * np.tanh(np.log1p(np.exp(x))), rtol=1e-5, atol=1e-7)
    slopes = jax.vmap(jax.grad(mlp.mish))(jnp.asarray(x))
    assert np.isfinite(slopes).all()
    np.testing.assert_allclose(slopes[-2:], 1.0, rtol=1e-5)


def test_unknown_activation_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="activation='swish': choose one of relu, silu, gelu, mish, tanh"):
        networks.activation('swish')


def test_time_embedding_by_hand():
    half = np.sqrt(0.5)
    np.testing.assert_allclose(mlp.time_embedding(0.5, 6), [half, 1, 0, half, 0, -1], atol=1e-6)
    np.testing.assert_allclose(mlp.time_embedding(0.0, 4), [0, 0, 1, 1], atol=1e-6)


def test_denoising_mlp_is_an_mlp_over_the_concatenated_inputs():
    net = networks.DenoisingMLP((7, 5), 'tanh', time_features=4)
    time = jnp.float32(0.3)
    params = net.init(jax.random.key(2), X, time, OBS)
    first, rest = params['params'], params['params']['MLP_0']
    joint = np.concatenate([np.ravel(X), mlp.time_embedding(time, 4), OBS])
    assert first['kernel'].shape == (4 + 4 + 3, 7)
    h = np.tanh(dense(joint, first))
    h = np.tanh(dense(h, rest['Dense_0']))
    np.testing.assert_allclose(net.apply(params, X, time, OBS), dense(h, rest['Dense_1']).reshape(2, 2), rtol=1e-4)


def test_denoising_mlp_with_layer_norm_ignores_the_first_layers_scale():
    net = networks.DenoisingMLP((8,), 'tanh', layer_norm=True)
    params = net.init(jax.random.key(2), X, jnp.float32(0.3), OBS)
    scaled = jax.tree.map(lambda p: p, params)
    scaled['params']['kernel'] = 10 * scaled['params']['kernel']
    out = net.apply(params, X, jnp.float32(0.3), OBS)
    np.testing.assert_allclose(net.apply(scaled, X, jnp.float32(0.3), OBS), out, rtol=1e-3, atol=1e-4)


def test_dropout_leaves_out_its_share_and_keeps_the_mean():
    """Inverted dropout before a linear layer is unbiased; each unit's own variance is h^2 rate / (1 - rate)."""
    net = networks.MLP((6,), 1, 'tanh')
    params = net.init(jax.random.key(0), OBS)
    layers = params['params']
    h = np.tanh(dense(np.asarray(OBS), layers['Dense_0']))
    kernel = np.asarray(layers['Dense_1']['kernel'])[:, 0]
    keys = jax.random.split(jax.random.key(1), 20_000)
    out = jax.vmap(lambda key: net.apply(params, OBS, networks.Dropout(0.2, key))[0])(keys)
    variance = np.sum((kernel * h) ** 2) * 0.2 / 0.8
    np.testing.assert_allclose(out.mean(), net.apply(params, OBS)[0], atol=4 * np.sqrt(variance / 20_000))
    np.testing.assert_allclose(out.var(), variance, rtol=0.05)


@pytest.mark.parametrize('net', [networks.MLP((8, 8), 2), networks.DenoisingMLP((8, 8))], ids=['mlp', 'denoising'])
def test_every_hidden_layer_has_its_own_mask_and_a_rate_of_0_none(net):
    inputs = (OBS,) if isinstance(net, networks.MLP) else (X, jnp.float32(0.3), OBS)
    params = net.init(jax.random.key(0), *inputs)
    key = jax.random.key(1)
    plain = net.apply(params, *inputs)
    np.testing.assert_array_equal(net.apply(params, *inputs, networks.Dropout(0.0, key)), plain)
    half = networks.Dropout(0.5, key)
    first, second = half(jnp.ones(8), 0), half(jnp.ones(8), 1)
    assert set(np.unique(first)) == {0, 2} and not np.array_equal(first, second)
    assert not np.allclose(net.apply(params, *inputs, half), plain)


@pytest.mark.parametrize(
    ('hidden', 'activation', 'message'),
    [((64, 0), 'tanh', r'hidden=\(64, 0\)'), ((6.5,), 'tanh', 'hidden'), ((64,), 'sin', "activation='sin'")],
)
def test_networks_that_cannot_be_built_are_refused(hidden, activation, message):
    networks.check_network((), 'relu')
    with pytest.raises(ValueError, match=message):
        networks.check_network(hidden, activation)
