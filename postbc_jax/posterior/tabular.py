"""Behavioural cloning, uniform mixing, the posterior and PostBC where they are exact: finite MDPs, from counts.

Beside the ensemble and the Gaussian closed forms: what the method's theorems speak of. Source: arXiv 2512.16911,
Appendix B. counts (H, S, A) is T_h(s, a), how often the T demonstrations played a in state s at step h, and
T_h(s) = sum_a T_h(s, a). Policies are (H, S, A). Everything is for one data set; vmap it over thousands.

All estimators are one. With n = T_h(s),

    PostBC = (1 - w) BC + w / A    in every state, with the weight w = alpha lambda / (n + lambda),

because the posterior (T_h(s,a) + lambda/A) / (n + lambda) is BC with weight n / (n + lambda) and uniform for the rest.
So PostBC is uniform mixing with a weight for each state; where all states have been seen equally often (one state, T
demonstrations) it is uniform mixing and nothing else. BC is alpha = 0, uniform mixing lambda = infinity, the posterior
alpha = 1.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Settings(NamedTuple):
    """alpha: share of the posterior (or of the uniform policy). concentration: lambda, the prior's weight in counts."""

    alpha: jax.Array | float
    concentration: jax.Array | float


def theorem(actions: int, horizon: int, demonstrations: int) -> Settings:
    """What the theorem asks of PostBC: alpha = 1 / max{A, H, log(HT)}, lambda = max{A, 4 log(HT)}.

    Raises:
      ValueError: no action, step or demonstration.
    """
    if min(actions, horizon, demonstrations) < 1:
        raise ValueError(
            f'actions={actions}, horizon={horizon}, demonstrations={demonstrations}: must all be at least 1'
        )
    log = float(np.log(horizon * demonstrations))
    return Settings(1 / max(actions, horizon, log), max(actions, 4 * log))


def post_bc(counts: jax.Array, alpha: jax.Array | float, concentration: jax.Array | float) -> jax.Array:
    """(1 - alpha) BC + alpha posterior in states that were seen, uniform in the others.

    Args:
      counts: (H, S, A).
      alpha: in [0, 1].
      concentration: lambda > 0; infinity is uniform mixing.

    Returns:
      (H, S, A).
    """
    visits = counts.sum(axis=-1, keepdims=True)  # (H, S, 1)
    uniform = 1 / counts.shape[-1]
    weight = alpha / (1 + visits / concentration)  # not alpha lambda / (n + lambda): lambda may be infinite
    bc = counts / jnp.maximum(visits, 1)
    return jnp.where(visits > 0, bc + weight * (uniform - bc), uniform)


def behavioural_cloning(counts: jax.Array) -> jax.Array:
    """T_h(s, a) / T_h(s), uniform in states that were not seen: counts (H, S, A) -> (H, S, A)."""
    return post_bc(counts, *BC)


def uniform_mixture(counts: jax.Array, alpha: jax.Array | float) -> jax.Array:
    """(1 - alpha) BC + alpha / A, the same weight in every state: counts (H, S, A) -> (H, S, A)."""
    return post_bc(counts, *uniform(alpha))


def posterior(counts: jax.Array, concentration: jax.Array | float) -> jax.Array:
    """The demonstrator's policy expected under its posterior, (T_h(s,a) + lambda/A) / (T_h(s) + lambda).

    The prior of a state's policy is Dirichlet(lambda/A, ..., lambda/A); lambda = A is the uniform one. (H, S, A) both.
    """
    return post_bc(counts, 1.0, concentration)


BC = Settings(0.0, 1.0)  # alpha 0: whatever lambda is


def uniform(alpha: jax.Array | float) -> Settings:
    """Uniform mixing as the limit of PostBC that it is."""
    return Settings(alpha, np.inf)


def coverage(policy: jax.Array, demonstrator: jax.Array) -> jax.Array:
    """gamma, the largest number with pi(a|s) >= gamma pi_beta(a|s) everywhere; () from (H, S, A) twice.

    That is the least pi_h(a|s) / pi_beta,h(a|s) over all (s, a, h) that the demonstrator may play, in states that it
    cannot reach too.
    """
    played = demonstrator > 0
    return jnp.min(jnp.where(played, policy / jnp.where(played, demonstrator, 1), jnp.inf))


def coverage_bound(demonstrator: jax.Array, settings: Settings, delta: float) -> jax.Array:
    """Lemma 1: with probability at least 1 - delta PostBC gives every action at least this probability, (H, S, A).

    alpha min{ pi_beta,h(a|s) / (64 log(SH/delta)), 1 / (2 lambda) }.
    """
    log = _log(demonstrator, delta)
    return settings.alpha * jnp.minimum(demonstrator / (64 * log), 1 / (2 * settings.concentration))


def above_bound(policy: jax.Array, demonstrator: jax.Array, settings: Settings, delta: float) -> jax.Array:
    """The least probability over its bound (Lemma 1), of all that the demonstrator may play; () from (H, S, A) twice.

    Below 1 the bound is violated. Infinite where it is 0, for BC and uniform mixing, of which the lemma does not speak.
    """
    bound = coverage_bound(demonstrator, settings, delta)
    return jnp.min(jnp.where(bound > 0, policy / jnp.where(bound > 0, bound, 1), jnp.inf))


def _log(demonstrator: jax.Array, delta: float) -> float:
    """log(SH/delta)."""
    if not 0 < delta < 1:
        raise ValueError(f'delta={delta}: is a probability between 0 and 1')
    horizon, states, _ = demonstrator.shape
    return float(np.log(states * horizon / delta))
