"""The monitor: what a finetuned policy's measurements, chunk by chunk, make of it, and what is then to be done.

Beside finetuning, on the line Demos -> posterior -> policy -> finetune -> evaluate -> report. A state machine of pure
functions for ONE learner, on arrays: map it with vmap. `probe` measures; whoever runs the finetuner obeys.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from postbc_jax.envelope.monitor_config import STATES, MonitorConfig

HEALTHY, UNDER_EXPLORING, OVERCONFIDENT, DRIFTING = range(len(STATES))
# What a chunk may show, in the order of Verdict.shown.
SHOWN = ('success fell', 'outside the envelope', 'far from the pretrained policy', 'narrow', 'near and not improving')


class Measured(NamedTuple):
    """What a chunk left, all (); NaN where it could not be measured, which is evidence of nothing.

    Attributes:
      success: share of the episodes that the policy, played as it would be deployed, succeeded in.
      outside: share of the chunks that it plays while exploring that lie outside the envelope.
      spread: of those chunks, over the reference's spread at the same states.
      distance: of the policy's mean from the pretrained policy's, in units of the reference's spread.
    """

    success: jax.Array
    outside: jax.Array
    spread: jax.Array
    distance: jax.Array


@struct.dataclass
class Scales:
    """What has been made of the run's settings so far; see finetune.controls.Controls, which they become. All ()."""

    bound: jax.Array
    learning_rate: jax.Array
    target_entropy: jax.Array
    entropy_cost: jax.Array


@struct.dataclass
class Memory:
    """What the monitor knows of a learner between chunks; () but for `recent`.

    Attributes:
      chunks: int32, how many it has seen.
      state: int32, an index into STATES.
      candidate, count: int32, the state that the last chunks gave evidence of, and how many in a row.
      waited: int32, chunks since responses were last due.
      best, best_chunk: the highest success, and the number of the chunk that had it, of those seen.
      recent: (window,), the newest successes, the last the newest.
      known: int32, how many of them are of this run, not of before a roll-back.
      roll_backs: int32.
      stopped: bool, whether it learns no more.
      scales: what the responses have made of the settings.
    """

    chunks: jax.Array
    state: jax.Array
    candidate: jax.Array
    count: jax.Array
    waited: jax.Array
    best: jax.Array
    best_chunk: jax.Array
    recent: jax.Array
    known: jax.Array
    roll_backs: jax.Array
    stopped: jax.Array
    scales: Scales


class Verdict(NamedTuple):
    """What one chunk makes of it, all () but for `shown`.

    Attributes:
      shown: bool (5,), which of SHOWN.
      evidence: int32, the state that this chunk alone speaks for.
      improvement: success gained a chunk over the window; NaN while it is not full.
      best: bool, whether none was better: what has been learnt is to be kept.
      entered: bool, whether `state` is another than before.
      tightened, widened, slowed, explored: bool, whether the bound, the learning rate, the entropy were changed.
      roll_back: bool, whether what was kept is to be taken up again.
      stop: bool, whether it learns no more from now on.
    """

    shown: jax.Array
    evidence: jax.Array
    improvement: jax.Array
    best: jax.Array
    entered: jax.Array
    tightened: jax.Array
    widened: jax.Array
    slowed: jax.Array
    explored: jax.Array
    roll_back: jax.Array
    stop: jax.Array


def begin(config: MonitorConfig) -> Memory:
    """Before the first chunk."""
    zero, one, nothing = jnp.int32(0), jnp.float32(1), jnp.float32(0)
    return Memory(
        chunks=zero,
        state=zero,
        candidate=zero,
        count=zero,
        waited=zero,
        best=jnp.float32(-1),
        best_chunk=zero,
        recent=jnp.zeros(config.window, jnp.float32),
        known=zero,
        roll_backs=zero,
        stopped=jnp.bool_(False),
        scales=Scales(one, one, nothing, nothing),
    )


def observe(config: MonitorConfig, memory: Memory, measured: Measured, episodes: int) -> tuple[Memory, Verdict]:
    """One chunk more.

    Args:
      config: shared by all learners.
      memory: from `begin`, or from the chunk before.
      measured: after the chunk; the first time before any learning.
      episodes: behind `success`, for its standard error.
    """
    is_best = measured.success > memory.best
    best = jnp.maximum(measured.success, memory.best)
    recent = jnp.concatenate([memory.recent[1:], measured.success[None]])
    known = jnp.minimum(memory.known + 1, config.window)
    improvement = jnp.where(known == config.window, slope(recent), jnp.nan)
    shown = evidence_of(config, measured, best, improvement, episodes)
    evidence = jnp.where(
        shown[:3].any(), DRIFTING, jnp.where(shown[3], OVERCONFIDENT, jnp.where(shown[4], UNDER_EXPLORING, HEALTHY))
    )
    count = jnp.where(evidence == memory.candidate, memory.count + 1, 1)
    needed = jnp.where(evidence == HEALTHY, config.leave, config.enter)
    entered = (evidence != memory.state) & (count >= needed)
    state = jnp.where(entered, evidence, memory.state)
    # A state that lasts is answered again, but at a chunk that shows it: on its way out it is left alone.
    waited = memory.waited + 1
    due = (state != HEALTHY) & (evidence == state) & (entered | (waited >= config.enter)) & ~memory.stopped
    memory = memory.replace(
        chunks=memory.chunks + 1,
        state=state,
        candidate=evidence,
        count=count,
        waited=jnp.where(due, 0, waited),
        best=best,
        best_chunk=jnp.where(is_best, memory.chunks, memory.best_chunk),
        recent=recent,
        known=known,
    )
    return _respond(config, memory, due, shown, evidence, improvement, is_best, entered)


def evidence_of(
    config: MonitorConfig, measured: Measured, best: jax.Array, improvement: jax.Array, episodes: int
) -> jax.Array:
    """Which of SHOWN a chunk shows, bool (5,); a comparison with NaN shows nothing."""
    p, success = jnp.maximum(best, 0), measured.success
    margin = jnp.maximum(config.fall, 2 * jnp.sqrt((p * (1 - p) + success * (1 - success)) / episodes))
    unsolved = success < config.solved
    return jnp.stack(
        [
            best - success > margin,
            measured.outside > config.outside,
            measured.distance > config.far,
            (measured.spread < config.narrow) & unsolved,
            (measured.distance < config.near) & (improvement < config.gain) & unsolved,
        ]
    )


def slope(recent: jax.Array) -> jax.Array:
    """Least-squares slope of (w,) over their index."""
    x = np.arange(len(recent)) - (len(recent) - 1) / 2
    return (x * recent).sum() / np.square(x).sum()


def _respond(
    config: MonitorConfig,
    memory: Memory,
    due: jax.Array,
    shown: jax.Array,
    evidence: jax.Array,
    improvement: jax.Array,
    best: jax.Array,
    entered: jax.Array,
) -> tuple[Memory, Verdict]:
    """What the state asks for, done to the memory and said in the verdict."""

    def asked(response: str) -> jax.Array:
        return due & jnp.array(config.does(response))[memory.state]

    fell, drifts, scales = shown[0], memory.state == DRIFTING, memory.scales
    again = memory.roll_backs >= config.roll_backs
    roll_back = asked('roll_back') & fell
    stop = asked('stop') & ((again & fell) if 'roll_back' in config.drifting else True)
    bound, slowed, explored = asked('bound'), asked('learning_rate'), asked('entropy')
    step = jnp.where(drifts, config.bound_step, 1 / config.bound_step)
    new_bound = jnp.where(bound, jnp.minimum(1.0, scales.bound * step), scales.bound)
    rate = jnp.where(slowed, scales.learning_rate * config.learning_rate_step, scales.learning_rate)
    scales = Scales(
        bound=new_bound,
        learning_rate=jnp.where(stop | memory.stopped, 0.0, rate),
        target_entropy=scales.target_entropy + jnp.where(explored, config.target_entropy_step, 0.0),
        entropy_cost=scales.entropy_cost + jnp.where(explored, config.entropy_cost_step, 0.0),
    )
    verdict = Verdict(
        shown=shown,
        evidence=evidence,
        improvement=improvement,
        best=best,
        entered=entered,
        tightened=new_bound < memory.scales.bound,
        widened=new_bound > memory.scales.bound,
        slowed=slowed & ~stop,
        explored=explored,
        roll_back=roll_back,
        stop=stop,
    )
    memory = memory.replace(
        scales=scales,
        roll_backs=memory.roll_backs + roll_back,
        stopped=memory.stopped | stop,
        # What was fitted to other parameters says nothing of those that were taken up again.
        known=jnp.where(roll_back, 0, memory.known),
    )
    return memory, verdict
