"""Every trainer as a population of three small enough to compile on many meshes: what test_devices compares.

The functions run in Pythons of their own, with as many devices or processes as the test gave them.
"""

import functools
import json
import pathlib
from typing import Any

import jax
import numpy as np
from jax.sharding import PartitionSpec as P

from launch import compiled
from postbc_jax import parallel, policies, types
from postbc_jax.checkpoint import Checkpoints
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.data.windows import Windows
from postbc_jax.envs.gate import Gate
from postbc_jax.finetune.decisions import Decisions
from postbc_jax.finetune.decoding import decode
from postbc_jax.finetune.dppo import DPPOConfig, dppo
from postbc_jax.finetune.dsrl_na import NAConfig, dsrl_na
from postbc_jax.finetune.dsrl_ppo import dsrl_ppo
from postbc_jax.finetune.iql import IQLConfig, IQLData, iql
from postbc_jax.finetune.ppo_config import PPOConfig
from postbc_jax.finetune.sac import SACConfig, sac
from postbc_jax.finetune.steer import steer
from postbc_jax.finetune.transitions import Transitions
from postbc_jax.posterior.ensemble import EnsembleConfig, ensemble
from postbc_jax.pretrain import Arm, PretrainConfig, PretrainData, pretrain
from postbc_jax.value_dice import ValueDICEConfig, ValueDICEData, value_dice

LEARNERS = 3  # padded to 4 where the learner axis is 2 or 4
CHUNKS = 2  # the second reads the state that the first left
RATE = 1e-2  # of every optimiser; large, so that a wrong gradient shows after a few steps
POLICY = policies.PolicyConfig('flow', obs_size=4, action_size=1, chunk=3, hidden=(8,), inference_steps=2)
NORMALISER = Normaliser(*(np.full(n, x, np.float32) for n, x in ((4, -1), (4, 1), (1, -1), (1, 1))))


def windows() -> Windows:
    """Three episodes of 8 steps, of gate's dimensions."""
    rng = np.random.default_rng(0)
    episode = np.repeat(np.arange(3, dtype=np.int32), 8)
    obs, actions = (rng.uniform(-1, 1, (24, n)).astype(np.float32) for n in (4, 1))
    return Windows(obs, actions, 8 * episode + 7, np.tile(np.arange(8, dtype=np.int32), 3), episode, chunk=3)


def make_ensemble() -> tuple[types.Trainer, Any]:
    """Three members; bootstrap by trajectory."""
    config = EnsembleConfig(hidden=(8,), steps=6, steps_per_chunk=3, batch_size=16, learning_rate=RATE)
    return ensemble(config), {'windows': windows(), 'mask': np.ones((LEARNERS, 24), np.float32)}


def make_pretrain() -> tuple[types.Trainer, Any]:
    """Three arms of one seed: bc with dropout, weighted sigma_bc, post_bc."""
    config = PretrainConfig(POLICY, steps=6, steps_per_chunk=3, batch_size=16, warmup=0, ema_decay=0.5, dropout=True)
    factors = np.random.default_rng(1).normal(size=(1, 24, 3, 3, 1)).astype(np.float32) / 2
    alpha, sigma, rate, decay = np.float32([[0, 0, 1], [0, 0.3, 0], [RATE] * 3, [0.1] * 3])
    dropout, beta = np.float32([[0.3, 0, 0], [0, 2, 0]])
    arm = Arm(alpha, sigma, rate, decay, np.zeros(LEARNERS, np.int32), dropout, beta)
    mask, quality = np.ones((1, 24), np.float32), -np.arange(24, dtype=np.float32)[None] / 24
    return pretrain(config), PretrainData(windows(), NORMALISER, factors, mask, quality, arm)


def make_value_dice() -> tuple[types.Trainer, Any]:
    """Three seeds of a Gaussian actor, each with an episode of its own left out."""
    actor = policies.PolicyConfig('gaussian', obs_size=4, action_size=1, chunk=3, hidden=(8,))
    config = ValueDICEConfig(
        actor, steps_per_chunk=3, batch_size=16, hidden=(8, 8), learning_rate=RATE, nu_learning_rate=RATE, ema_decay=0.5
    )
    mask = np.repeat(1 - np.eye(LEARNERS, dtype=np.float32), 8, axis=1)
    source = np.arange(LEARNERS, dtype=np.int32)
    return value_dice(config), ValueDICEData(windows(), NORMALISER, mask, source)


def frozen_policies() -> policies.Policy:
    """Three untrained flow policies."""
    params = jax.vmap(policies.build(POLICY).init)(jax.random.split(jax.random.key(2), LEARNERS))
    normaliser = jax.tree.map(lambda x: np.stack([x] * LEARNERS), NORMALISER)
    return policies.Policy(jax.tree.map(np.asarray, params), normaliser, POLICY)


def steered(policy: policies.Policy):
    """gate, whose action is the policy's noise: 7 decisions an episode, 4 where the gate is missed."""
    return steer(Gate(), policy, bound=1.5)


def make_ppo() -> tuple[types.Trainer, Any]:
    """Two updates a chunk, on whole episodes of 16 environments."""
    config = PPOConfig(
        iterations_per_chunk=1,
        environments=16,
        hidden=(8,),
        learning_rate=RATE,
        epochs=1,
        minibatches=2,
        discount=0.9,
        reward='success_minus_one',
    )
    return dsrl_ppo(steered, config), frozen_policies()


def make_dppo() -> tuple[types.Trainer, Any]:
    """Two updates a chunk of the last of two denoising steps, after 4 decisions of 16 environments."""
    config = DPPOConfig(
        iterations_per_chunk=1,
        environments=16,
        unroll=4,
        hidden=(8,),
        learning_rate=RATE,
        critic_learning_rate=RATE,
        epochs=1,
        groups=8,
        critic_warmup=0,
        denoising_steps=0,
        finetuned_steps=1,
        reward='success_minus_one',
    )
    return dppo(lambda policy: Decisions(Gate(), policy), config), frozen_policies()


def make_sac() -> tuple[types.Trainer, Any]:
    """Four updates a chunk; episodes end in the warm-up of 5 steps and in the 2 of a chunk."""
    config = SACConfig(
        decisions_per_chunk=16,
        environments=8,
        warmup_decisions=40,
        replay=80,
        updates_per_step=2,
        batch_size=16,
        hidden=(8,),
        learning_rate=RATE,
        discount=0.9,
    )
    return sac(steered, config), frozen_policies()


def make_dsrl_na() -> tuple[types.Trainer, Any]:
    """Like sac's, with two updates more of the noise critics, and a batch's half from twelve fixed transitions."""
    config = NAConfig(
        decisions_per_chunk=16,
        environments=8,
        warmup_decisions=40,
        replay=80,
        updates_per_step=2,
        noise_critic_steps=2,
        batch_size=16,
        offline_share=0.5,
        hidden=(8,),
        learning_rate=RATE,
        discount=0.9,
    )
    rng = np.random.default_rng(3)
    obs, chunk, noise, following = (rng.uniform(-1, 1, (LEARNERS, 12, n)).astype(np.float32) for n in (4, 3, 3, 4))
    ends = np.ones((LEARNERS, 12), np.float32)
    trainer = dsrl_na(
        lambda data: steered(data['policy']),
        config,
        lambda data, obs, noise: decode(data['policy'], obs, noise),
        policy_of=lambda data: data['policy'],
        offline=lambda data: data['known'],
    )
    return trainer, {'policy': frozen_policies(), 'known': Transitions(obs, chunk, noise, -ends, ends, following, ends)}


def make_iql() -> tuple[types.Trainer, Any]:
    """Four updates a chunk, after a warm-up of two calls of 8 episodes."""
    config = IQLConfig(
        steps_per_chunk=4, episodes=16, episodes_per_chunk=8, hidden=(8,), batch_size=16, learning_rate=RATE
    )
    return iql(lambda data: Gate(), config), IQLData(frozen_policies())


MAKE = {
    'ensemble': make_ensemble,
    'pretrain': make_pretrain,
    'value_dice': make_value_dice,
    'dsrl_ppo': make_ppo,
    'dppo': make_dppo,
    'dsrl_sac': make_sac,
    'dsrl_na': make_dsrl_na,
    'best_of_n': make_iql,
}


class Population:
    """A trainer's population on a mesh, with its data and keys on the devices."""

    def __init__(self, name: str, mesh: jax.sharding.Mesh):
        trainer, data = MAKE[name]()
        self.mesh, self.spec = mesh, trainer.state_spec
        self.trainer = parallel.population(trainer, mesh)
        self.data = _map_specs(lambda spec, part: parallel.shard(part, mesh, spec), trainer.data_spec, data)
        seeds = [0] * LEARNERS if name == 'pretrain' else range(LEARNERS)
        self.keys = parallel.learner_keys(jax.random.key(0), seeds, mesh)

    @functools.cached_property
    def init(self) -> jax.stages.Compiled:
        """(keys, data) -> the first state."""
        return self.trainer.init.lower(self.keys, self.data).compile()

    @functools.cached_property
    def run_chunk(self) -> jax.stages.Compiled:
        """(state, data) -> (state, metrics)."""
        return self.trainer.run_chunk.lower(self.abstract, self.data).compile()

    @functools.cached_property
    def abstract(self) -> Any:
        """The state's shapes and dtypes, as they lie on the mesh."""
        return parallel.abstract_state(self.trainer, self.mesh, self.keys, self.data)

    def start(self) -> Any:
        """The first state, warmed up where the trainer has a warm-up."""
        state = self.init(self.keys, self.data)
        for _ in range(self.trainer.warm_chunks):
            state, _ = self.trainer.warm_chunk(state, self.data)
        return state

    def train(self, state: Any, chunks: int) -> tuple[Any, types.Metrics]:
        """The state after so many chunks, and the last one's metrics."""
        for _ in range(chunks):
            state, metrics = self.run_chunk(state, self.data)
        return state, metrics


def _map_specs(fn, specs, tree):
    return jax.tree.map(fn, specs, tree, is_leaf=lambda x: isinstance(x, P))


def write(path: pathlib.Path, tree: Any) -> None:
    """Every array of the population, without the padding, by its path in the tree."""

    def plain(x):
        return jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x

    leaves = jax.tree_util.tree_leaves_with_path(parallel.gather(jax.tree.map(plain, tree), LEARNERS))
    np.savez(path, **{jax.tree_util.keystr(path): leaf for path, leaf in leaves})


def _compile_fast() -> None:
    """Compiling is what takes time here. This spares LLVM's passes; XLA's, which place collectives, are the same."""
    jax.config.update('jax_disable_most_optimizations', True)


def train_on_8(directory: str) -> None:
    """Trains on 1 x 1, 2 x 1 and 4 x 2 devices, and from 4 x 2 to 1 x 1 through a checkpoint.

    Prints what the compiled programs say: {trainer: {function and mesh: [the collectives between learners, how many
    there are at all]}}.
    """
    _compile_fast()
    meshes = [parallel.mesh(width, jax.devices()[:count]) for width, count in ((1, 1), (2, 2), (4, 8))]
    said = {}
    for name in MAKE:
        file = pathlib.Path(directory) / name
        one, two, eight = (Population(name, mesh) for mesh in meshes)
        write(file.with_suffix('.start.npz'), (one.start(), {}))
        for population, devices in ((one, 1), (two, 2), (eight, 8)):
            write(file.with_suffix(f'.{devices}.npz'), population.train(population.start(), CHUNKS))
        with Checkpoints(file, {}, LEARNERS) as checkpoints:
            checkpoints.save(1, eight.train(eight.start(), 1)[0])
        with Checkpoints(file, {}, LEARNERS) as checkpoints:
            state = checkpoints.restore(one.abstract, one.mesh, one.spec)
        write(file.with_suffix('.moved.npz'), one.train(state, CHUNKS - 1))
        said[name] = {
            'init 4 x 2': _collectives(eight.init, 4),
            'run_chunk 4 x 2': _collectives(eight.run_chunk, 4),
            'run_chunk 8 x 1': _collectives(Population(name, parallel.mesh(8)).run_chunk, 8),
        }
    print(json.dumps(said))


def _collectives(program: jax.stages.Compiled, width: int) -> tuple[list[str], int]:
    found = compiled.Program(program.as_text()).collectives(8 // width)
    return [each.kind for each in found if 'learner' in each.axis], len(found)


def train_in_processes(width: int, directory: str) -> None:
    """Trains on the devices of all processes; prints how many processes and devices those were."""
    parallel.initialize()
    _compile_fast()
    for name in MAKE:
        population = Population(name, parallel.mesh(width))
        path = pathlib.Path(directory) / f'{name}.{jax.process_index()}.npz'
        write(path, population.train(population.start(), CHUNKS))
    print(json.dumps([jax.process_count(), population.mesh.size]))
