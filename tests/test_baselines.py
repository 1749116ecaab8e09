"""BC's baselines among pretraining's arms: dropout and demonstrations weighted by their quality."""

import jax
import numpy as np
import pytest

from postbc_jax import parallel, pretrain
from tests.test_pretrain import config, learner, make_data, train

SETTINGS = {family: config(family, dropout=True) for family in ('gaussian', 'flow', 'diffusion')}


@pytest.mark.parametrize('family', SETTINGS)
def test_a_rate_of_0_is_no_dropout_and_another_is_one(family):
    plain, _ = train([0.0], [0.0], [0], config(family))
    masked, _ = train([0.0] * 2, [0.0] * 2, [0] * 2, SETTINGS[family], dropouts=[0.0, 0.5])
    for bc, zero, dropped in zip(learner(plain, 0), learner(masked, 0), learner(masked, 1), strict=True):
        np.testing.assert_allclose(zero, bc, rtol=1e-4, atol=2e-6)
        assert np.abs(dropped - bc).max() > 5e-5
    assert plain.config == masked.config  # decoding knows of no dropout


def test_a_program_without_dropout_reads_no_rate():
    one, other = (train([0.0], [0.0], [0], dropouts=[rate])[0] for rate in (0.0, 0.9))
    for a, b in zip(learner(one, 0), learner(other, 0), strict=True):
        np.testing.assert_array_equal(a, b)


def test_steps_are_drawn_by_the_quality_of_their_demonstration():
    """At one observation the second demonstration plays 1, the first, of score -log 3, -1: the mean is tanh(beta log 3
    / 2). beta = 0 draws as if there were no scores, bit for bit."""
    mesh = parallel.mesh(4, jax.devices()[:1])
    data = make_data(mesh, [0.0] * 4, [0.0] * 4, betas=[0.0, 1.0, 2.0, 500.0])
    windows = data.windows.replace(
        obs=np.zeros((24, 2), np.float32), actions=np.where(np.arange(24) < 12, -1, 1)[:, None].astype(np.float32)
    )
    data = data.replace(windows=parallel.shard(windows, mesh))
    settings = config('gaussian', steps=300, batch_size=256, ema_decay=0.98)
    trainer = parallel.population(pretrain.pretrain(settings), mesh)

    def policies(data):
        state = trainer.init(parallel.learner_keys(jax.random.key(1), [0] * 4, mesh), data)
        return parallel.gather(trainer.policy(trainer.run_chunk(state, data)[0], data))

    found = policies(data)
    means = [jax.tree.map(lambda x, i=i: x[i], found).decode(np.zeros(2), np.zeros((2, 1)))[0, 0] for i in range(4)]
    np.testing.assert_allclose(means, [0.0, 0.5, 0.8, 1.0], atol=0.08)
    unweighted = policies(data.replace(quality=np.zeros_like(data.quality)))
    for a, b in zip(learner(found, 0), learner(unweighted, 0), strict=True):
        np.testing.assert_array_equal(a, b)
