"""The finite MDPs that the theorems are shown on, each with what can be computed about it by hand.

Beside the tabular estimators. The bandit, the chain and the lower bound are arXiv 2512.16911's (Appendix B), `resets`
is the lower bound of arXiv 2009.05990, `two_branch` the smallest MDP with a dense state beside a rare one. Action 0 is
called a_1 in the papers, and so on. Demonstrators are uniform in states that they cannot reach, where every estimator
is uniform too: coverage is then about the states that they do reach.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special
from scipy.stats import binom

from postbc_jax.posterior import mdp as mdps
from postbc_jax.posterior.tabular import Settings


class Instance(NamedTuple):
    """An MDP, its demonstrator and the closed forms about them, which take the number T of demonstrations.

    Attributes:
      name: in results.
      eps: the small number of the instance's definition; None where it has none.
      mdp: the MDP.
      demonstrator: (H, S, A), pi_beta.
      groups: (G, H, S, A) bool. A policy misses the demonstrator where it gives probability 0 to all of a group.
      miss_probability: T -> how often BC misses. Uniform mixing and PostBC never do. None: not known.
      suboptimality: settings of an estimator, T -> its J(pi_beta) - E J(pi), over data sets. None: not known.
    """

    name: str
    eps: float | None
    mdp: mdps.MDP
    demonstrator: jax.Array
    groups: jax.Array
    miss_probability: Callable[[int], float] | None
    suboptimality: Callable[[Settings, int], float] | None

    @property
    def sizes(self) -> tuple[int, int, int]:
        """H, S, A."""
        return self.demonstrator.shape


def bandit(eps: float) -> Instance:
    """Three arms, played with 1 - 4e, 2e, 2e and worth 1/2, 1, 0: the good arm is one of two rare ones.

    BC misses both where all T demonstrations are of the first: (1-4e)^T, at least 1/2 for T <= 1/(20e), e <= 1/8.

    Raises:
      ValueError: eps not in (0, 1/8].
    """
    _between('eps', eps, 0, 1 / 8)
    reward, demonstrator = np.array([0.5, 1.0, 0.0]), np.array([1 - 4 * eps, 2 * eps, 2 * eps])
    return _one_state('bandit', eps, reward, demonstrator, np.array([[0, 1, 1]]), lambda t: (1 - 4 * eps) ** t)


def lower_bound(actions: int, probability: float) -> Instance:
    """One of the lower bound's A - 1 bandits: arm 0, worth 1, is played with 1 - p, arm i, worth 0, with p.

    i is 1 here; the estimators treat all arms alike, so the others are the same. See `lower_bound_limit`.

    Raises:
      ValueError: fewer than 2 actions, or p not in (0, 1/2].
    """
    _between('probability', probability, 0, 1 / 2)
    if actions < 2:
        raise ValueError(f'actions={actions}: must be at least 2')
    reward, demonstrator = np.eye(1, actions)[0], np.zeros(actions)
    demonstrator[:2] = 1 - probability, probability
    group = np.eye(actions)[1:2]
    return _one_state('lower_bound', probability, reward, demonstrator, group, lambda t: (1 - probability) ** t)


def lower_bound_limit(actions: int, probability: float, demonstrations: int, suboptimality: float) -> float:
    """The coverage that no estimator exceeds, with probability (1-p)^T, in all bandits of the family at once.

    By hand: T demonstrations of arm 0, of probability q = (1-p)^T, say nothing about i. In bandit i the suboptimality
    is pi(not 0) - p, so one of at most xi on average leaves E[pi(not 0) | those] <= (p + xi) / q, and of A - 1 arms
    that share it one has no more than (p + xi) / (q (A - 1)); its coverage is that over p. With p = 1/T and
    xi = c log T / T this is (1 + c log T) / (q (A - 1)), of order log T / A.
    """
    certain = (1 - probability) ** demonstrations
    return (1 + suboptimality / probability) / (certain * (actions - 1))


def chain(rare: int, horizon: int, eps: float) -> Instance:
    """Uniform mixing's instance: ever rarer start states s~_i of two good actions, and s_1, which must be kept to.

    A = 2. States 0..m-1 are s~_1..s~_m, then s_1 and s_2. P0(s~_i) = 2^-(i+1), plus 2^-(m+1) for the first so that they
    sum to 1/2; P0(s_1) = 1/2. s~_i and s_2 are absorbing, s_1 stays under a_1 and falls to s_2 under a_2. Rewards
    r_1(s~_i, .) = (1, 1 - 4 eps), r_H(s_1, a_1) = 1, else 0. The demonstrator plays 1/2, 1/2 on s~_i, a_1 on s_1.

    By hand: on s~_i an estimator that treats actions alike is unbiased, on s_1 BC is exact and a weight w falls with
    probability w/2 a step, so the suboptimality is E[1 - (1 - w/2)^H] / 2. To stay within eps uniform mixing thus needs
    alpha <= `chain_weight`, about 4 eps / H, which the paper bounds by 32 eps.

    Raises:
      ValueError: no rare state or step, or eps not in (0, 1/4].
    """
    _between('eps', eps, 0, 1 / 4)
    if min(rare, horizon) < 1:
        raise ValueError(f'rare={rare}, horizon={horizon}: must both be at least 1')
    states, one = rare + 2, rare
    initial = np.append(2.0 ** -np.arange(2, rare + 2), (0.5, 0))
    initial[0] += 2.0 ** -(rare + 1)
    transition = np.broadcast_to(np.eye(states)[:, None], (horizon, states, 2, states)).copy()
    transition[:, one, 1] = np.eye(states)[one + 1]
    reward, demonstrator = np.zeros((horizon, states, 2)), np.full((horizon, states, 2), 0.5)
    reward[0, :rare] = 1, 1 - 4 * eps
    reward[-1, one, 0] = 1
    demonstrator[:, one] = 1, 0

    def suboptimality(settings: Settings, demonstrations: int) -> float:
        weights, chances = _weights(settings, demonstrations, 0.5)
        return float(chances @ (1 - (1 - weights / 2) ** horizon)) / 2

    each = np.eye(horizon * states * 2).reshape(-1, horizon, states, 2)
    groups = each[(each * (demonstrator == 0.5))[:, :, :rare].any(axis=(1, 2, 3))]
    return _instance(
        'chain',
        eps,
        mdps.make(initial, transition, reward),
        demonstrator,
        groups,
        lambda t: _chain_miss(rare, horizon, t),
        suboptimality,
    )


def chain_weight(eps: float, horizon: int) -> float:
    """The largest alpha of uniform mixing on `chain` whose suboptimality (1 - (1 - alpha/2)^H) / 2 is at most eps."""
    return 2 * (1 - (1 - 2 * eps) ** (1 / horizon))


def _chain_miss(rare: int, horizon: int, demonstrations: int) -> float:
    """The probability that BC gives probability 0 to an action on some s~_i at some step.

    A state seen n >= 1 times is whole with (1 - 2^(1-n))^H = sum_j C(H,j) (-2)^j 2^(-jn), one never seen with 1. Over
    multinomial counts, sum_i n_i = T, the mean of a product of c_i^n_i is (sum_i p_i c_i)^T. All p_i 2^-j are multiples
    of one power of two: the product of the sums is a polynomial, multiplied out.
    """
    unit = 2 ** (rare + 1 + horizon)
    whole = np.zeros(unit + 1)
    whole[unit // 2] = 1  # s_1, whose action is never missed
    terms = [(special.comb(horizon, j) * (-2.0) ** j, 2.0**-j) for j in range(horizon + 1)]
    for i in range(1, rare + 1):
        share = 2.0 ** -(i + 1) + (2.0 ** -(rare + 1) if i == 1 else 0)
        shifts = [(factor, round(unit * share * c)) for factor, c in terms] + [(1 - (-1.0) ** horizon, 0)]
        whole = sum(factor * np.append(np.zeros(shift), whole[: unit + 1 - shift]) for factor, shift in shifts)
    return float(1 - whole @ (np.arange(unit + 1) / unit) ** demonstrations)


def two_branch(rare_share: float, actions: int, eps: float) -> Instance:
    """A dense state beside a rare one, in which the demonstrator sometimes does something else.

    H = 2: step 1 is in state 0, where nothing depends on the action; step 2 is in L (1) or, with q, in R (2). In L the
    demonstrator plays a0, in R a0 with 1 - 2e and a1 with 2e. Reward 1 for a0 in L and for a0 and a1 in R. Noise costs
    in L, where it is not needed, and in R it is what coverage takes.

    Raises:
      ValueError: q not in (0, 1), fewer than 2 actions, or eps not in (0, 1/2).
    """
    _between('rare_share', rare_share, 0, 1)
    _between('eps', eps, 0, 1 / 2)
    if actions < 2:
        raise ValueError(f'actions={actions}: must be at least 2')
    q, t = rare_share, 2 * eps
    transition = np.broadcast_to(np.eye(3)[:, None], (2, 3, actions, 3)).copy()
    transition[0, 0] = 0, 1 - q, q
    reward, demonstrator = np.zeros((2, 3, actions)), np.full((2, 3, actions), 1 / actions)
    reward[1, 1, 0] = reward[1, 2, :2] = 1
    demonstrator[0, 0] = demonstrator[1, 1] = np.eye(1, actions)[0]
    demonstrator[1, 2] = 0
    demonstrator[1, 2, :2] = 1 - t, t
    groups = np.zeros((2, 2, 3, actions))
    groups[[0, 1], 1, 2, [0, 1]] = 1

    def miss_probability(demonstrations: int) -> float:  # R was seen, and one of its two actions was not
        only = [(1 - q + q * p) ** demonstrations for p in (1 - t, t)]
        return sum(only) - 2 * (1 - q) ** demonstrations

    def suboptimality(settings: Settings, demonstrations: int) -> float:
        left, right = (np.dot(*_weights(settings, demonstrations, p)) for p in (1 - q, q))
        return float((1 - q) * left * (1 - 1 / actions) + q * right * (1 - 2 / actions))

    made = mdps.make(np.array([1, 0, 0]), transition, reward)
    return _instance(f'two_branch(q={q:g})', eps, made, demonstrator, groups, miss_probability, suboptimality)


def resets(states: int, horizon: int, actions: int, rare_share: float) -> Instance:
    """The worst case of imitation (arXiv 2009.05990): any action but the demonstrator's ends in a state worth nothing.

    S - 2 start states of probability zeta each, one of the rest, and the bad one. The demonstrator plays a0, worth 1,
    after which the next state is drawn as the first was. With zeta = 1/(T+1) BC's suboptimality is of order H^2 S / T.

    By hand: states of different steps are independent under the demonstrator, so E J = sum_h (1 - f)^h with
    f = sum_s P0(s) (1 - 1/A) E[w(n_s)], the chance of another action.

    Raises:
      ValueError: fewer than 3 states, 2 actions or 1 step, or shares beyond 1.
    """
    if states < 3 or actions < 2 or horizon < 1:
        raise ValueError(f'states={states}, actions={actions}, horizon={horizon}: must be at least 3, 2 and 1')
    _between('rare_share', rare_share, 0, 1 / (states - 2))
    initial = np.array([rare_share] * (states - 2) + [1 - (states - 2) * rare_share, 0])
    transition = np.zeros((horizon, states, actions, states))
    transition[..., -1] = 1
    transition[:, :-1, 0] = initial
    reward, demonstrator = np.zeros((horizon, states, actions)), np.full((horizon, states, actions), 1 / actions)
    reward[:, :-1, 0] = 1
    demonstrator[:, :-1] = np.eye(1, actions)[0]

    def suboptimality(settings: Settings, demonstrations: int) -> float:
        weights = [np.dot(*_weights(settings, demonstrations, p)) for p in initial[:-1]]
        other = (1 - 1 / actions) * initial[:-1] @ weights
        return float(np.sum(1 - (1 - other) ** np.arange(1, horizon + 1)))

    # one group that no estimator misses: nothing that is always demonstrated can be
    groups = (demonstrator == 1)[None]
    return _instance(
        'resets', rare_share, mdps.make(initial, transition, reward), demonstrator, groups, lambda _: 0.0, suboptimality
    )


def random(seed: int, states: int, actions: int, horizon: int) -> Instance:
    """Everything drawn: Dirichlet(1/2) start states, transitions and demonstrator, rewards uniform in [0, 1]."""
    rng = np.random.default_rng(seed)
    pairs, some = (horizon, states, actions), np.full(states, 0.5)
    demonstrator = rng.dirichlet(np.full(actions, 0.5), pairs[:2])
    made = mdps.make(rng.dirichlet(some), rng.dirichlet(some, pairs), rng.uniform(size=pairs))
    groups = np.eye(np.prod(pairs)).reshape(-1, *pairs)
    return _instance('random', None, made, demonstrator, groups, None, None)


def _weights(settings: Settings, demonstrations: int, probability: float) -> tuple[np.ndarray, np.ndarray]:
    """The uniform policy's weight in a state of this probability and the chance of it, for n = 0..T visits: (T+1,).

    n ~ Bin(T, probability); the weight is 1 for n = 0, else alpha lambda / (n + lambda) (see `tabular`).
    """
    visits = np.arange(demonstrations + 1)
    weights = np.where(visits, settings.alpha / (1 + visits / settings.concentration), 1)
    return weights, binom.pmf(visits, demonstrations, probability)


def _one_state(name, eps, reward, demonstrator, groups, miss_probability) -> Instance:
    """A bandit: reward, demonstrator (A,), groups (G, A). Its state is always seen: the weight is that of n = T."""
    actions = len(reward)

    def suboptimality(settings: Settings, demonstrations: int) -> float:
        weight = settings.alpha / (1 + demonstrations / settings.concentration)
        return float(weight * (demonstrator @ reward - reward.mean()))

    made = mdps.make(np.ones(1), np.ones((1, 1, actions, 1)), reward[None, None])
    return _instance(name, eps, made, demonstrator[None, None], groups[:, None, None], miss_probability, suboptimality)


def _instance(name, eps, mdp, demonstrator, groups, miss_probability, suboptimality) -> Instance:
    mdps.check(f'{name}: demonstrator', demonstrator)
    policy = jnp.asarray(demonstrator, jnp.float32)
    return Instance(name, eps, mdp, policy, jnp.asarray(groups, bool), miss_probability, suboptimality)


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low < value <= high:
        raise ValueError(f'{name}={value}: must lie above {low:g} and be at most {high:g}')
