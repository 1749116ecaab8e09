"""What an unroll's rewards amount to: the running scale of a return, and generalised advantages.

Between ppo's unroll and its updates. Arrays lead with (U, E): decisions, this device's environments.
"""

import jax
import jax.numpy as jnp
from brax.training.agents.ppo.losses import compute_gae
from flax import struct

from postbc_jax import parallel

_LARGEST = 10.0  # |scaled reward|, as DPPO's code has it


@struct.dataclass
class ReturnScale:
    """Mean and variance of all discounted returns-so-far that one learner has seen.

    Attributes:
      running: (E,), the discounted return so far of each environment's running episode; rows are split over devices.
      count, mean, variance: scalars.
    """

    running: jax.Array
    count: jax.Array
    mean: jax.Array
    variance: jax.Array


def unseen(environments: int) -> ReturnScale:
    """The scale before anything was earned in so many environments of this device."""
    zero = jnp.zeros(())
    return ReturnScale(running=jnp.zeros(environments), count=zero, mean=zero, variance=zero)


def scale(state: ReturnScale, reward: jax.Array, done: jax.Array, discount: float) -> tuple[ReturnScale, jax.Array]:
    """Inside pmap: rewards (U, E) over the standard deviation of the return, which has seen them, within +-10.

    A step's return so far is R_t = r_t + discount R_(t-1), which starts again after a step with done (U, E): the scaler
    of DPPO's code (its `reward_scale_running`; baselines' VecNormalize). All rows of a learner share it.
    """

    def step(running, inputs):
        reward, done = inputs
        running = reward + discount * running
        return running * (1 - done), running

    running, returns = jax.lax.scan(step, state.running, (reward, done))
    devices = jax.lax.axis_size(parallel.DATA)
    batch_mean = parallel.data_mean(returns.mean())
    batch_variance = parallel.data_mean(jnp.square(returns - batch_mean).mean())
    # Chan et al.'s merge of two samples' moments.
    count = state.count + returns.size * devices
    share = returns.size * devices / count
    change = batch_mean - state.mean
    variance = (1 - share) * state.variance + share * batch_variance + (1 - share) * share * jnp.square(change)
    state = ReturnScale(running=running, count=count, mean=state.mean + share * change, variance=variance)
    return state, jnp.clip(reward / jnp.sqrt(variance + 1e-8), -_LARGEST, _LARGEST)


def advantages(
    done: jax.Array,
    truncation: jax.Array,
    reward: jax.Array,
    values: jax.Array,
    final_values: jax.Array,
    bootstrap: jax.Array,
    discount: float,
    gae_lambda: float,
) -> tuple[jax.Array, jax.Array]:
    """Generalised advantages (arXiv 1506.02438, Eq. 16) and value targets, both (U, E).

    At a time-out the task has not ended: below a discount of 1 its step earns the discounted value of where it led as
    well. (brax's compute_gae would drop the step: it does not know that value.) At 1 a time-out is an end.

    Args:
      done: (U, E), 1 where an episode ended, in whatever way.
      truncation: (U, E), 1 where it ended by time-out alone.
      reward, values: (U, E), of the decision and of the observation that it was made at.
      final_values: (U, E), of the observation that the decision led to, before any reset; read at time-outs.
      bootstrap: (E,), the value after the unroll.
      discount, gae_lambda: per decision.
    """
    if discount < 1:
        reward = reward + discount * truncation * final_values
    target, _ = compute_gae(
        truncation=jnp.zeros_like(done),
        termination=done,
        rewards=reward,
        values=values,
        bootstrap_value=bootstrap,
        lambda_=gae_lambda,
        discount=discount,
    )
    return target - values, target  # compute_gae's own advantage gives the next step's surprise no lambda
