"""gate: the smallest task in which posterior noise pays. A dense, precise phase, then a finish seen in few contexts.

A point moves right from x = -1 to x = 1 in 20 steps and steers y. Every episode passes the narrow gate at x = 0, so
demonstrations are dense there and every step needs precision; after it the point must end at a height that depends
nonlinearly on a visible context, of which ten demonstrations show ten. Not a robot: the mechanism alone.
"""

from typing import Any

import jax
import jax.numpy as jnp
from brax.envs.base import State
from flax import struct

from postbc_jax.envs.operators import Memory, Operator
from postbc_jax.envs.task import Task


@struct.dataclass
class GateState:
    """step int32; y scalar; context (2,); passed, 1 once through the gate; rng, the dynamics' raw key."""

    step: jax.Array
    y: jax.Array
    context: jax.Array
    passed: jax.Array
    rng: jax.Array


def goal(context: jax.Array) -> jax.Array:
    """The height that counts as success in a context (2,): .7 sin(2.5 c1 + 1.5 c2^2), in [-.7, .7]."""
    return 0.7 * jnp.sin(2.5 * context[0] + 1.5 * context[1] ** 2)


class Gate(Task):
    """Observation (x, y, c1, c2), action (1,) in [-1, 1]; success is sparse and only judged at the last step.

    y moves by .15 action + N(0, .02) a step. Crossing x = 0 with |y| > .06 ends the episode. The start height is
    uniform in [-.3, .3], the context in [-1, 1]^2. metrics['gate'] is 1 once the gate is passed.
    """

    name = 'gate'
    horizon = 20
    obs_keys = (('position', 2), ('context', 2))
    gate_half_width = 0.06
    goal_half_width = 0.07
    speed = 0.15
    drift = 0.02

    @property
    def action_size(self) -> int:
        """1: the vertical speed."""
        return 1

    def settings(self) -> dict[str, Any]:
        """None: the task is one."""
        return {}

    def operators(self) -> dict[str, Operator]:
        """One, deterministic at noise 0: the best that can be cloned, so that whatever is missing is coverage."""
        return {'steady': Steady()}

    def reset(self, rng: jax.Array) -> State:
        rng, start, context = jax.random.split(rng, 3)
        inner = GateState(
            step=jnp.zeros((), jnp.int32),
            y=jax.random.uniform(start, minval=-0.3, maxval=0.3),
            context=jax.random.uniform(context, (2,), minval=-1.0, maxval=1.0),
            passed=jnp.zeros(()),
            rng=rng,
        )
        zero = jnp.zeros(())
        return State(
            pipeline_state=inner,
            obs=self._obs(inner),
            reward=zero,
            done=zero,
            metrics={'success': zero, 'gate': zero},
            info={'region': jnp.zeros((), jnp.int32)},
        )

    def step(self, state: State, action: jax.Array) -> State:
        inner = state.pipeline_state
        rng, drift = jax.random.split(inner.rng)
        step = inner.step + 1
        y = inner.y + self.speed * jnp.clip(action[0], -1.0, 1.0) + self.drift * jax.random.normal(drift)
        at_gate, at_end = step == self.horizon // 2, step == self.horizon
        through = jnp.abs(y) <= self.gate_half_width
        passed = jnp.where(at_gate, through.astype(jnp.float32), inner.passed)
        success = (at_end & (jnp.abs(y - goal(inner.context)) < self.goal_half_width)).astype(jnp.float32)
        inner = inner.replace(step=step, y=y, passed=passed, rng=rng)
        return state.replace(
            pipeline_state=inner,
            obs=self._obs(inner),
            reward=success,
            done=((at_gate & ~through) | at_end).astype(jnp.float32),
            metrics={**state.metrics, 'success': success, 'gate': passed},
        )

    def _obs(self, inner: GateState) -> jax.Array:
        x = -1.0 + 2.0 * inner.step / self.horizon
        return jnp.stack([x, inner.y, inner.context[0], inner.context[1]])


@struct.dataclass
class Steady(Operator):
    """Covers `gain` of the way to the target in each step: the gate's centre first, then the context's goal."""

    gain: float = 0.6

    def init(self, state: State, key: jax.Array) -> Memory:
        """No memory."""
        return ()

    def __call__(self, state: State, memory: Memory, key: jax.Array) -> tuple[jax.Array, Memory]:
        """The action (1,)."""
        inner = state.pipeline_state
        target = jnp.where(inner.step < Gate.horizon // 2, 0.0, goal(inner.context))
        action = jnp.clip(self.gain * (target - inner.y) / Gate.speed, -1.0, 1.0)
        return action[None] + self.noise * jax.random.normal(key, (1,)), memory
