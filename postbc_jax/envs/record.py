"""Records scripted demonstrations: operators, played in an environment, become Demos, the head of the pipeline."""

import functools
import json
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env

from postbc_jax.envs.operators import Operator
from postbc_jax.types import Demos


def record(
    env: Env,
    operators: Mapping[str, Operator],
    episodes: int,
    key: jax.Array,
    noise: float = 0.0,
    attempts: int = 8,
    after_wave: Callable[[int, int], None] | None = None,
) -> Demos:
    """Plays the operators in turn (episode i by operator i mod M) and keeps successful episodes only.

    All episodes are one vmapped rollout, or several where a simulator on the host steps so many at once. An episode
    that failed is played again from another start, up to `attempts` times; episode i depends on the key and i alone,
    so the first n of a longer recording are a recording of n.
    Keeping successes tilts the starts towards those that the operators master; at noise 0 they master nearly all.

    Args:
      env: a bare environment with `horizon`, `obs_keys` and `env_args()`.
      operators: {name: operator}, all of one class; `env.operators()` or some of them.
      episodes: E, how many demonstrations to keep.
      key: typed key.
      noise: the operators' noise in action units, 0 for none.
      attempts: rollouts of an episode before giving up.
      after_wave: called after every rollout with the episodes kept so far and those tried in this attempt.

    Returns:
      Demos with operators' names recorded; each ends with the step that succeeded (dones 1).

    Raises:
      ValueError: no operators, operators of different classes, episodes < 1, noise < 0 or attempts < 1; or an episode
        that did not succeed in any attempt.
    """
    _check(operators, episodes, noise, attempts)
    players = [operator.replace(noise=noise) for operator in operators.values()]
    turn = np.arange(episodes) % len(players)
    stacked = jax.tree.map(lambda *leaves: np.stack([np.asarray(x) for x in leaves]), *players)
    wave = min(env.at_once if hasattr(env, 'at_once') else episodes, episodes)
    kept: dict[int, dict[str, np.ndarray]] = {}
    for attempt in range(attempts):
        again = jax.random.fold_in(key, attempt)
        # A rollout's size is its compiled shape, so all are tried at once or in equal waves; only those still missing
        # in waves, because there every episode costs its time.
        missing = [i for i in range(episodes) if i not in kept] if wave < episodes else list(range(episodes))
        for at in range(0, len(missing), wave):
            rows = np.resize(missing[at : at + wave], wave)
            keys = jax.vmap(functools.partial(jax.random.fold_in, again))(rows)
            playing = jax.tree.map(lambda x, rows=rows: x[turn[rows]], stacked)
            steps = jax.tree.map(np.asarray, rollouts(env, playing, keys))
            ends = np.argmax(steps['dones'] > 0, axis=1)
            for row in np.flatnonzero(steps['success'][np.arange(wave), ends]):
                episode = {name: value[row, : ends[row] + 1] for name, value in steps.items()}
                kept.setdefault(int(rows[row]), episode)
            if after_wave:
                after_wave(len(kept), min(at + wave, len(missing)))
        if len(kept) == episodes:
            break
    names = tuple(operators)
    if len(kept) < episodes:
        missing = sorted({names[turn[i]] for i in range(episodes) if i not in kept})
        raise ValueError(
            f'record: {episodes - len(kept)} of {episodes} episodes failed {attempts} times at noise {noise} within '
            f'{env.horizon} steps (operators {", ".join(missing)}): lower the noise, lengthen the horizon or leave '
            'those operators out'
        )
    lengths = [len(kept[i]['dones']) for i in range(episodes)]
    flat = {
        name: np.concatenate([kept[i][name] for i in range(episodes)]).astype(np.float32)
        for name in ('obs', 'actions', 'rewards', 'dones')
    }
    return Demos(
        **flat,
        episode=np.repeat(np.arange(episodes, dtype=np.int32), lengths),
        names=tuple(f'demo_{i}' for i in range(episodes)),
        operators=tuple(names[i] for i in turn),
        obs_keys=tuple(env.obs_keys),
        env_args=json.dumps(env.env_args()),
    )


def _check(operators: Mapping[str, Operator], episodes: int, noise: float, attempts: int) -> None:
    if not operators:
        raise ValueError('record: no operators; pass env.operators() or demonstrations from a file instead')
    if len({jax.tree.structure(operator) for operator in operators.values()}) > 1:
        kinds = {name: type(operator).__name__ for name, operator in operators.items()}
        raise ValueError(f'record: operators {kinds} are not one class; record each class by itself')
    if episodes < 1 or attempts < 1:
        raise ValueError(f'record: episodes={episodes} and attempts={attempts} must be at least 1')
    if noise < 0:
        raise ValueError(f'record: noise={noise} must not be negative')


@functools.partial(jax.jit, static_argnums=0)
def rollouts(env: Env, operators: Operator, keys: jax.Array) -> dict[str, jax.Array]:
    """Plays every operator (E,) with its key (E,) for env.horizon steps: arrays (E, horizon, ...).

    What follows the first done of an episode means nothing.
    """

    def rollout(operator, key):
        start, first, rest = jax.random.split(key, 3)
        state = env.reset(jax.random.key_data(start))

        def step(carry, t):
            state, memory = carry
            action, memory = operator(state, memory, jax.random.fold_in(rest, t))
            action = jnp.clip(action, -1.0, 1.0)
            after = env.step(state, action)
            row = {'obs': state.obs, 'actions': action, 'rewards': after.reward, 'dones': after.done}
            return (after, memory), row | {'success': after.metrics['success'] > 0}

        _, rows = jax.lax.scan(step, (state, operator.init(state, first)), jnp.arange(env.horizon))
        return rows

    return jax.vmap(rollout)(operators, keys)
