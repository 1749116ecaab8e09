"""lift_mjx: Lift with contact physics. A gantry gripper must grasp a free cube between two fingers and raise it.

MuJoCo's soft contacts with gravity, mass and friction, at 20 Hz (envs.contact, envs.gantry): the cube slips, tips, is
pushed and is dropped. Not robosuite's Lift: no arm, no rotation of the hand, and numbers measured here are this task's.
"""

from typing import Any

import jax
import jax.numpy as jnp
from brax.envs.base import State

from postbc_jax.envs import gantry, rotations
from postbc_jax.envs.contact import Motion, Physics
from postbc_jax.envs.manipulation import HAND_KEYS
from postbc_jax.envs.task import Task

RISE = 0.04  # m, of the cube's centre above where it rests
TABLE = 0.25  # m, half its width
START, START_SPREAD = (0.0, 0.0, 0.2), 0.03  # m, of the hand
PLACE_DENSE, PLACE_RARE = 0.02, 0.08  # m, the cube's place about (0, 0)
YAW_DENSE, YAW_RARE = 0.05, 0.35  # tan(yaw / 2): 6 and 39 degrees either way


class LiftMJX(Task):
    """Observation (19,) of robomimic's Lift, action (4,) in [-1, 1], horizon 80.

    The action is the hand's displacement in units of `speed`, of which it covers nine tenths in a step of 1/20 s,
    and the fingers' opening, from open (-1) to closed (1). There is no rotation to command: robot0_eef_quat is constant
    and the fingers align what they squeeze. Success: the cube is 4 cm above where it rested. The episode also ends, as
    failed, where the cube leaves the table or the physics gives a number that is not finite.

    The region 'dense' has the cube within 2 cm and 6 degrees of the middle, 'rare' within 8 cm and 39 degrees.

    Args (of the constructor):
      rare_fraction: share of starts in the region 'rare'.
      horizon: steps of an episode; the slowest operator needs 45.
      speed: metres that the hand's target is ahead of it at a full action.

    Raises (in the constructor):
      ValueError: rare_fraction outside [0, 1], horizon < 1, or speed outside (0, 0.02].
    """

    name = 'lift_mjx'
    regions = ('dense', 'rare')
    obs_keys = (*HAND_KEYS, ('object', 10))

    def __init__(self, rare_fraction: float = 0.3, horizon: int = 80, speed: float = 0.02):
        if not 0 <= rare_fraction <= 1:
            raise ValueError(f'{self.name}: rare_fraction={rare_fraction} must be in [0, 1]')
        if horizon < 1:
            raise ValueError(f'{self.name}: horizon={horizon} must be at least 1')
        if not 0 < speed <= 0.02:
            raise ValueError(f'{self.name}: speed={speed} m must be in (0, 0.02], what the servos can follow')
        self.rare_fraction, self.horizon, self.speed = rare_fraction, horizon, speed
        self.physics = Physics(gantry.MODEL)

    @property
    def action_size(self) -> int:
        """4."""
        return 4

    @property
    def backend(self) -> str:
        """MJX."""
        return 'mjx'

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {'rare_fraction': self.rare_fraction, 'horizon': self.horizon, 'speed': self.speed}

    def operators(self) -> dict[str, gantry.GantryOperator]:
        """The six styles of envs.gantry, at this environment's speed."""
        return gantry.gantry_operators(self.speed)

    def reset(self, rng: jax.Array) -> State:
        """Draws region, the cube's pose and the hand's place; rng: a raw key (2,). The cube rests, nothing moves."""
        u = jax.random.uniform(rng, (7,))
        signed = 2 * u - 1
        rare = u[0] < self.rare_fraction
        place = jnp.where(rare, PLACE_RARE, PLACE_DENSE) * signed[1:3]
        quat = rotations.yaw(jnp.where(rare, YAW_RARE, YAW_DENSE) * signed[3])
        hand = jnp.array(START) + START_SPREAD * signed[4:7]
        opening = jnp.full(2, gantry.OPEN)
        motion = self.physics.start(
            jnp.concatenate([place, jnp.full(1, gantry.RESTING), jnp.roll(quat, 1), hand, opening])
        )
        zero = jnp.zeros(())
        region = {'region': rare.astype(jnp.int32)}
        return State(motion, self._observe(motion), zero, zero, {'success': zero}, region)

    def step(self, state: State, action: jax.Array) -> State:
        """Plays one action (4,)."""
        before = state.pipeline_state
        action = jnp.clip(action, -1.0, 1.0)
        target = before.qpos[gantry.HAND] + self.speed * action[:3]
        target = jnp.clip(target, jnp.array(gantry.HAND_LOW), jnp.array(gantry.HAND_HIGH))
        opening = 0.5 * gantry.OPEN * (1 - action[3])
        after = self.physics.step(before, jnp.append(target, jnp.stack([opening, opening])), gantry.STEPS)

        finite = jnp.all(jnp.array([jnp.isfinite(x).all() for x in jax.tree.leaves(after)]))
        after = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, before)
        cube = after.qpos[:3]
        on_table = jnp.all(jnp.abs(cube[:2]) < TABLE)
        success = finite & on_table & (cube[2] > gantry.RESTING + RISE)
        reward = success.astype(jnp.float32)
        return state.replace(
            pipeline_state=after,
            obs=self._observe(after),
            reward=reward,
            done=(success | ~finite | ~on_table).astype(jnp.float32),
            metrics={**state.metrics, 'success': reward},
        )

    def _observe(self, motion: Motion) -> jax.Array:
        """The object is cube_pos, cube_quat (xyzw), gripper_to_cube_pos (hand minus cube, as in v1.4.1)."""
        hand, fingers = motion.qpos[gantry.HAND], motion.qpos[gantry.FINGERS]
        cube, quat = motion.qpos[:3], jnp.roll(motion.qpos[3:7], -1)
        return jnp.concatenate(
            [hand, jnp.array(rotations.DOWN), fingers * jnp.array([1.0, -1.0]), cube, quat, hand - cube]
        )
