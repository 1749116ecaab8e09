"""SAC's updates a second, and the whole DSRL-SAC loop in environment steps a second, against Stable-Baselines3.

Rows of `make bench`. sac_wN: 3 layers of N, tanh, batch 256, obs 19, noise 28 (Lift's), two critics. dsrl_loop: 4
environments of `lift`, a flow policy of 3 x 256 with 8 steps and chunks of 4, networks of 3 x 256, 20 updates a step.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env, State
from jax.sharding import PartitionSpec as P

from benchmarks import numpy_environments, timing, torch_decode, torch_sac
from postbc_jax import envs, parallel, policies
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.finetune.sac import SACConfig, sac
from postbc_jax.finetune.steer import steer
from postbc_jax.policies import flow

OBS, CHUNK, ACTIONS, BATCH, LAYERS, BOUND = 19, 4, 7, 256, 3, 1.5
ENVIRONMENTS, UPDATES, LOOP_STEPS, LOOP_WIDTH = 4, 20, 4, 256
CALLS = {64: (100, 20), 256: (40, 10), 2048: (2, 2)}  # updates a measurement, ours and the peer's, by width
PEER_LOOP_STEPS = 1


class Idle(Env):
    """What an update sees of Lift, and next to nothing to step."""

    horizon, bound = 75, BOUND
    observation_size, action_size, backend = OBS, CHUNK * ACTIONS, 'none'

    def reset(self, rng: jax.Array) -> State:
        zero = jnp.zeros(())
        return State(None, jax.random.normal(rng, (OBS,)), zero, zero, {'success': zero}, {'region': jnp.int32(0)})

    def step(self, state: State, action: jax.Array) -> State:
        return state.replace(reward=-jnp.ones(()))


def rows() -> list[dict]:
    """One row a width, and the loop's."""
    return [*(_updates(width) for width in CALLS), _loop()]


def _updates(width: int) -> dict:
    updates, peer_updates = CALLS[width]
    model = torch_sac.sac(torch_sac.Idle(OBS, CHUNK * ACTIONS), width, LAYERS, BATCH, peer_updates)
    ours = _ours(lambda data: Idle(), width, updates=min(updates, UPDATES), steps=max(1, updates // UPDATES), data=None)
    seconds = timing.interleave({'ours': ours, 'peer': lambda: model.train(peer_updates, BATCH)})
    work = {'ours': updates, 'peer': peer_updates}
    return _row(f'sac_w{width}', 'updates/s', timing.median_rates(seconds, work))


def _loop() -> dict:
    config = policies.PolicyConfig('flow', OBS, ACTIONS, CHUNK, hidden=(256,) * 3)
    params = policies.build(config).init(jax.random.key(0))
    bounds = (np.full(n, x, np.float32) for n in (OBS, ACTIONS) for x in (-1, 1))
    policy = policies.Policy(params, Normaliser(*bounds), config)
    task = envs.make('lift')
    ours = _ours(lambda data: steer(task, data, BOUND), LOOP_WIDTH, UPDATES, LOOP_STEPS, policy)

    decode = torch_decode.decoder(config, params['params'], flow.schedule(config.inference_steps))
    environments = numpy_environments.make('lift', ENVIRONMENTS)
    steered = torch_sac.Steered(environments, decode, CHUNK, CHUNK * ACTIONS, BOUND)
    model = torch_sac.sac(steered, LOOP_WIDTH, LAYERS, BATCH, UPDATES)

    def peer() -> None:
        model.learn(ENVIRONMENTS * PEER_LOOP_STEPS, log_interval=10**9, reset_num_timesteps=False)

    seconds = timing.interleave({'ours': ours, 'peer': peer})
    work = {'ours': ENVIRONMENTS * LOOP_STEPS * CHUNK, 'peer': ENVIRONMENTS * PEER_LOOP_STEPS * CHUNK}
    return _row('dsrl_loop', 'steps/s', timing.median_rates(seconds, work))


def _ours(make_env: Callable, width: int, updates: int, steps: int, data) -> Callable[[], None]:
    """A call is `steps` steps of all environments, each with so many updates."""
    config = SACConfig(
        decisions_per_chunk=ENVIRONMENTS * steps,
        environments=ENVIRONMENTS,
        warmup_decisions=2000,
        replay=10_000,
        updates_per_step=updates,
        batch_size=BATCH,
        hidden=(width,) * LAYERS,
        layer_norm=False,  # the peer's critics have none
    )
    mesh = parallel.mesh(1)
    trainer = parallel.population(sac(make_env, config), mesh)
    data = parallel.shard(jax.tree.map(lambda x: np.asarray(x)[None], data), mesh, P(parallel.LEARNER))
    state = trainer.init(parallel.learner_keys(jax.random.key(0), [0], mesh), data)
    for _ in range(trainer.warm_chunks):
        state, _ = trainer.warm_chunk(state, data)

    def run() -> None:
        nonlocal state
        state, metrics = trainer.run_chunk(state, data)
        jax.block_until_ready((state, metrics))

    return run


def _row(name: str, unit: str, rate: dict[str, float]) -> dict:
    return {
        'name': name,
        'unit': unit,
        'ours': rate['ours'],
        'peer': rate['peer'],
        'peer_name': 'stable_baselines3',
        'ratio': rate['ours'] / rate['peer'],
    }
