"""Evaluation: batched rollouts of one policy in one scan, and what the report needs of them.

Last before the report; reads an environment and a policy of any stage. `rollouts`, `candidates` and `coverage` are for
ONE learner and run inside parallel.pmap (out_specs P('learner', 'data')); `success_rates`, `candidate_rates` and
`pass_at_n` read their gathered results, one learner's at a time, on the host.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env, State

from postbc_jax import parallel, stats
from postbc_jax.envs.rollout import Acting, chunked, play_all, start_and_play
from postbc_jax.policies import FLAGS


def rollouts(
    env: Env, policy: Acting, key: jax.Array, episodes: int, contexts: Any | None = None
) -> dict[str, jax.Array]:
    """Plays `episodes` episodes from independent starts.

    Starts, dynamics' noise and the policy's draws depend on the key and the episode's index alone: learners given the
    same key face the same episodes, however many devices share them.

    Args:
      env: a bare environment (no vectorising, no episode wrapper, no chunks).
      policy: called at every decision, with a fresh key.
      key: typed.
      episodes: n over all devices; the data axis must divide it.
      contexts: an envelope.contexts.Contexts, by whose C contexts decisions are counted; None counts none.

    Returns:
      This device's rows (n / devices,): 'success' float32 in {0, 1}; 'region' int32, of the start; 'steps' int32,
      environment steps played. An episode that has neither succeeded nor failed after ceil(horizon / T) decisions has
      failed. With contexts also (n / devices, C): 'decisions', and of a guarded policy how many were 'outside' and
      'strange'. See `context_rates`.

    Raises:
      ValueError: episodes < 1 or not divisible, or the policy's chunk does not fit the environment.
    """
    keys = parallel.row_keys(key, _local('episodes', episodes))

    def count(before: State, chunk: jax.Array, extras: Any, after: State) -> dict[str, jax.Array]:
        del chunk, after
        here = jax.nn.one_hot(contexts(before.obs), len(contexts.names)) * (before.done == 0)
        said = extras.get('guard', {})
        return {'decisions': here} | {name: here * said[name] for name in FLAGS if name in said}

    watch = (count,) if contexts is not None else ()
    played, counts = play_all(chunked(env, policy), policy, *jax.vmap(start_and_play)(keys), *watch)
    return played | jax.tree.map(lambda x: x.sum(axis=1), counts) if contexts is not None else played


def candidates(env: Env, policy: Any, key: jax.Array, episodes: int, numbers: Sequence[int]) -> dict[str, jax.Array]:
    """Plays the same episodes with every number of candidates: `rollouts` of policy.replace(candidates=N) for each N.

    Paired: the keys are the same, and the draws of a BestOfNPolicy are nested in N. See `candidate_rates`.

    Args:
      env, key, episodes: as for `rollouts`.
      policy: a struct with a static field `candidates`.
      numbers: the N.

    Returns:
      As `rollouts`, each (n / devices, len(numbers)).

    Raises:
      ValueError: as for `rollouts`.
    """
    played = [rollouts(env, policy.replace(candidates=n), key, episodes) for n in numbers]
    return jax.tree.map(lambda *columns: jnp.stack(columns, axis=-1), *played)


def coverage(env: Env, policy: Acting, key: jax.Array, starts: int, rollouts: int) -> dict[str, jax.Array]:
    """Plays every one of `starts` start states `rollouts` times: same start, other noise. See `pass_at_n`.

    Args:
      env: a bare environment; its `reseed`, where it has one, gives each copy of a start its own future.
      policy: as for `rollouts`.
      key: typed.
      starts: S over all devices; the data axis must divide it.
      rollouts: n of each start.

    Returns:
      This device's rows (S / devices,): 'successes' int32, out of n; 'region' int32.

    Raises:
      ValueError: as for `rollouts`.
    """
    if rollouts < 1:
        raise ValueError(f'evaluate: rollouts={rollouts} must be at least 1')

    def attempts(key):
        start, play = start_and_play(key)
        copy = jax.vmap(lambda j: (start, jax.random.fold_in(play, j)))
        return copy(jnp.arange(rollouts))

    keys = jax.vmap(attempts)(parallel.row_keys(key, _local('starts', starts)))
    played, _ = play_all(chunked(env, policy), policy, *(k.reshape(-1) for k in keys))
    success, region = (played[name].reshape(-1, rollouts) for name in ('success', 'region'))
    return {'successes': jnp.sum(success, axis=1).astype(jnp.int32), 'region': region[:, 0]}


def success_rates(success: np.ndarray, region: np.ndarray, regions: Sequence[str]) -> dict[str, Any]:
    """The columns of a results row: success (n,), region (n,) -> success_rate, episodes, regions {name: rate}.

    Regions that no episode started in are left out.
    """
    success, region = np.asarray(success, float), np.asarray(region)
    by_region = {name: float(success[chosen].mean()) for name, chosen in _regions(region, regions)}
    return {'success_rate': float(success.mean()), 'episodes': len(success), 'regions': by_region}


def context_rates(played: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, Any]:
    """The columns of a results row by context, from what `rollouts` returned with contexts.

    Returns:
      contexts: {name: {'decisions', 'episodes': those with a decision there, 'success_rate': of these}}, those without
      decisions left out; of a guarded policy 'outside' and 'strange' in each, the shares of its decisions, and in the
      row as outside_share and strange_share over all of them.
    """
    success, decisions = np.asarray(played['success'], float), np.asarray(played['decisions'])
    flags = {name: np.asarray(played[name]) for name in FLAGS if name in played}
    found = {}
    for index, name in enumerate(names):
        there = decisions[:, index] > 0
        if there.any():
            total = float(decisions[:, index].sum())
            shares = {flag: float(count[:, index].sum()) / total for flag, count in flags.items()}
            found[name] = {
                'decisions': int(total),
                'episodes': int(there.sum()),
                'success_rate': float(success[there].mean()),
                **shares,
            }
    return {'contexts': found} | {
        f'{flag}_share': float(count.sum() / decisions.sum()) for flag, count in flags.items()
    }


def candidate_rates(
    success: np.ndarray, region: np.ndarray, numbers: Sequence[int], regions: Sequence[str]
) -> list[dict[str, Any]]:
    """The columns of a results row for each number of candidates, {n: N} and those of `success_rates`.

    Args:
      success, region: (n, len(numbers)), from `candidates`.
      numbers: the N.
      regions: names of the regions.
    """
    columns = zip(numbers, np.asarray(success).T, np.asarray(region).T, strict=True)
    return [{'n': n} | success_rates(of_n, started, regions) for n, of_n, started in columns]


def pass_at_n(
    successes: np.ndarray, region: np.ndarray, rollouts: int, attempts: Sequence[int], regions: Sequence[str]
) -> list[dict[str, Any]]:
    """The columns of coverage rows: the chance that the best of N attempts at one start succeeds, averaged over starts.

    Coverage before any RL: what finetuning can find, because the policy does it now and then.

    Args:
      successes: (S,) out of `rollouts`, from `coverage`.
      region: (S,) indices into `regions`.
      rollouts: n.
      attempts: the N <= n to report.
      regions: their names.

    Returns:
      {region, n: N, pass_at_n, starts} for each N, over all starts (region 'all') and each region that has any.
    """
    successes, region = np.asarray(successes), np.asarray(region)
    chosen = {'all': np.ones(len(region), bool)} | dict(_regions(region, regions))
    rows = []
    for n in attempts:
        estimates = stats.pass_at_n(successes, rollouts, n)
        rows += [
            {'region': name, 'n': n, 'pass_at_n': float(estimates[of].mean()), 'starts': int(of.sum())}
            for name, of in chosen.items()
        ]
    return rows


def _regions(region: np.ndarray, names: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    for index, name in enumerate(names):
        chosen = region == index
        if chosen.any():
            yield name, chosen


def _local(name: str, rows: int) -> int:
    if rows < 1:
        raise ValueError(f'evaluate: {name}={rows} must be at least 1')
    return parallel.local_rows(rows)
