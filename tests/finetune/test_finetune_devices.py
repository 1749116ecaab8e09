CODE = """
import json
import jax
import numpy as np
from jax.sharding import PartitionSpec as P
from postbc_jax import parallel
from postbc_jax.finetune.ppo import PPOConfig, ppo
from postbc_jax.finetune.sac import SACConfig, sac
from tests.finetune import probes

jax.config.update('jax_disable_most_optimizations', True)  # compiling is what takes time here

def run(trainer, devices):
    mesh = parallel.mesh(1, jax.devices()[:devices])
    trainer = parallel.population(trainer, mesh)
    kind = parallel.shard(np.array([probes.ACTION_AT_OBSERVATION]), mesh, P('learner'))
    state = trainer.init(parallel.learner_keys(jax.random.key(0), [0], mesh), kind)
    state, metrics = trainer.run_chunk(state, kind)
    return jax.tree.map(np.asarray, (state.params, state.environments.obs, metrics))

def largest_difference(one, two):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), one, two)
    return max(jax.tree.leaves(jax.tree.map(lambda a, b: float(np.abs(a - b).max()), one, two)))

assert len(jax.devices()) == 2 and parallel.mesh(1).shape == {'learner': 1, 'data': 2}
small = {'hidden': (8,), 'reward': 'env'}
trainers = {
    'ppo': ppo(probes.Probe, PPOConfig(2, environments=16, groups=4, epochs=2, minibatches=2, **small)),
    'sac': sac(probes.Probe, SACConfig(16, 4, 40, replay=80, updates_per_step=4, batch_size=16, **small)),
}
print(json.dumps({name: largest_difference(run(t, 1), run(t, 2)) for name, t in trainers.items()}))
"""


def test_one_and_two_devices_give_the_same_numbers(run_on_devices):
    """Of one learner whose environments are split over two devices; to rounding, which a step of Adam can enlarge."""
    assert max(run_on_devices(2, CODE).values()) < 1e-2
