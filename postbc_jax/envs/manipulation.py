"""The kinematics that Lift, Can and Square share: a hand, a chute that it must thread, and one object to grasp.

KINEMATIC SURROGATES, not physics: no mass, contact or friction. A grasp is a test of where the hand is when it closes,
a held object moves rigidly with the hand, and whatever would topple, jam or break is the end of the episode. They have
robomimic's observation keys, dimensions, horizons and action, and are made to show in seconds what a finetuner of
demonstrated policies can and cannot do; numbers measured in them say nothing about robosuite's tasks.

Every episode has two phases, as in `gate`:
- dense: from a start above, the hand centres itself and threads a narrow vertical chute, in which touching a wall at
  any step ends the episode. The same precise motion in every demonstration: isotropic action noise is punished here.
- sparse: below, where the hand must grasp or place depends nonlinearly on the object's context c = (c1, c2) in
  [-1, 1]^2: c1 shows as the object's yaw, c2 as its half-height (its centre's z, as it stands on the table). One
  attempt: a wrong one ends the episode. Starts of the region 'dense' have contexts in a small box, those of the region
  'rare' anywhere: few demonstrations leave the finish uncertain there.

Units: metres, radians; frames: world, z up, quaternions xyzw. An open, downward hand has quaternion (1, 0, 0, 0).
"""

import abc
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from brax.envs.base import State

from postbc_jax.envs import rotations
from postbc_jax.envs.operators import ArmOperator, arm_operators, erring_operators
from postbc_jax.envs.scene import (
    CHUTE_BOTTOM,
    CHUTE_TOP,
    GRASP_ANGLE,
    GRASP_TOLERANCE,
    OPEN,
    TURN,
    Scene,
)
from postbc_jax.envs.task import Task

HAND_KEYS = (('robot0_eef_pos', 3), ('robot0_eef_quat', 4), ('robot0_gripper_qpos', 2))
RATE, WIDTH = 0.02, 0.015  # m: a finger's travel per step, half the width of what is grasped
START_HEIGHT, START_SPREAD = 0.48, (0.06, 0.06, 0.03)  # m
BOX_LOW, BOX_HIGH = (-0.4, -0.4, 0.0), (0.4, 0.4, 0.55)  # m, what the hand can reach
HALF_HEIGHT, HALF_HEIGHT_SPREAD = 0.03, 0.015  # m
YAW_SPREAD = 0.4  # tan(yaw / 2) at c1 = 1, about 44 degrees
SPREAD_DENSE, SPREAD_RARE = 0.02, 0.06  # m, the object's place on the table about (0, 0)
DENSE_CENTRE, DENSE_SPREAD = (0.2, 0.3), 0.15  # the box of contexts of the region 'dense'


class Manipulation(Task):
    """One hand, one chute, one object. A task says where to grasp, where to bring the object, and what ends it.

    The action (7,) in [-1, 1] is OSC_POSE's: the hand's displacement in units of `speed`, its rotation vector about
    world axes in units of TURN, and the gripper (positive closes, negative opens). Dynamics are deterministic.

    Args (of the constructor):
      rare_fraction: share of starts in the region 'rare'.
      horizon: steps of an episode; None for robomimic's own (`robomimic_horizon`): the slowest operator
        needs about 40 steps for Lift and 65 for Can and Square, so RL is better served with horizon=80.
      speed: metres per step at a full action; a lower one makes episodes longer and tolerances wider in action units.
      chute: half the chute's width, metres: the precision of the dense phase.

    Raises (in the constructor):
      ValueError: rare_fraction outside [0, 1], horizon < 1, speed outside (0, 0.1], or chute outside (0, 0.05].
    """

    regions = ('dense', 'rare')
    robomimic_horizon: ClassVar[int]

    def __init__(
        self,
        rare_fraction: float = 0.3,
        horizon: int | None = None,
        speed: float = 0.05,
        chute: float = 0.02,
    ):
        if not 0 <= rare_fraction <= 1:
            raise ValueError(f'{self.name}: rare_fraction={rare_fraction} must be in [0, 1]')
        if horizon is not None and horizon < 1:
            raise ValueError(f'{self.name}: horizon={horizon} must be at least 1, or None for {self.robomimic_horizon}')
        if not 0 < speed <= 0.1:
            raise ValueError(f'{self.name}: speed={speed} m per step must be in (0, 0.1], or the hand jumps the chute')
        if not 0 < chute <= 0.05:
            raise ValueError(f'{self.name}: chute={chute} m must be in (0, 0.05]')
        self.rare_fraction, self.speed, self.chute = rare_fraction, speed, chute
        self.horizon = self.robomimic_horizon if horizon is None else horizon

    @property
    def action_size(self) -> int:
        """7."""
        return 7

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            'rare_fraction': self.rare_fraction,
            'horizon': self.horizon,
            'speed': self.speed,
            'chute': self.chute,
        }

    def operators(self) -> dict[str, ArmOperator]:
        """The six styles of envs.operators, at this environment's speed."""
        return arm_operators(self.speed)

    def erring(self) -> dict[str, ArmOperator]:
        """Two that err in ways that are known, to see whether they are found."""
        return erring_operators(self.speed)

    @abc.abstractmethod
    def _place(self, place: jax.Array, height: jax.Array, quat: jax.Array, bend: jax.Array) -> tuple[jax.Array, ...]:
        """Where to grasp, in which orientation, and where to bring the object.

        Args: place (2,), where the object stands; height (), its half-height; quat (4,), its yaw; bend () in [-1, 1],
          the nonlinear function of its context.

        Returns: grasp (3,), grasp_quat (4,), goal (3,).
        """

    @abc.abstractmethod
    def _finish(self, before: Scene, after: Scene, released: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Whether this step succeeds, and whether it spoils the attempt; released: the hand let the object go."""

    @abc.abstractmethod
    def _object(self, scene: Scene) -> tuple[jax.Array, ...]:
        """The parts of the key `object`, in the order of robomimic's published (v1.4.1) data."""

    def reset(self, rng: jax.Array) -> State:
        """Draws region, context and poses; rng: a raw key (2,)."""
        u = jax.random.uniform(rng, (8,))
        signed = 2 * u - 1
        rare = u[0] < self.rare_fraction
        context = jnp.where(rare, signed[1:3], jnp.array(DENSE_CENTRE) + DENSE_SPREAD * signed[1:3])
        place = jnp.where(rare, SPREAD_RARE, SPREAD_DENSE) * signed[3:5]
        height = HALF_HEIGHT + HALF_HEIGHT_SPREAD * context[1]
        quat = rotations.yaw(YAW_SPREAD * context[0])
        bend = jnp.sin(2.5 * context[0] + 1.5 * context[1] ** 2)
        grasp, grasp_quat, goal = self._place(place, height, quat, bend)
        scene = Scene(
            hand=jnp.array([0.0, 0.0, START_HEIGHT]) + jnp.array(START_SPREAD) * signed[5:8],
            hand_quat=jnp.array(rotations.DOWN),
            opening=jnp.float32(OPEN),
            object=jnp.append(place, height),
            object_quat=quat,
            held=jnp.float32(0),
            grasp=grasp,
            grasp_quat=grasp_quat,
            goal=goal,
        )
        zero = jnp.float32(0)
        region = {'region': rare.astype(jnp.int32)}
        return State(scene, self._observe(scene), zero, zero, {'success': zero}, region)

    def step(self, state: State, action: jax.Array) -> State:
        """Moves hand and object by one action (7,)."""
        before = state.pipeline_state
        action = jnp.clip(action, -1.0, 1.0)
        hand = jnp.clip(before.hand + self.speed * action[:3], jnp.array(BOX_LOW), jnp.array(BOX_HIGH))
        half_turn = 0.5 * TURN * action[3:6]
        opening = jnp.clip(before.opening - RATE * action[6], 0.0, OPEN)

        closed = (opening < WIDTH) & (before.opening >= WIDTH)
        at_grasp = jnp.all(jnp.abs(hand - before.grasp) < jnp.array(GRASP_TOLERANCE))
        hand_quat = rotations.turn(half_turn, before.hand_quat)
        aligned = rotations.within(hand_quat, before.grasp_quat, GRASP_ANGLE)
        grasped = closed & at_grasp & aligned
        released = (before.held > 0) & (opening >= WIDTH)

        carried = before.held > 0
        arm = rotations.rotate_half(half_turn, before.object - before.hand)
        after = before.replace(
            hand=hand,
            hand_quat=hand_quat,
            opening=opening,
            object=jnp.where(carried, hand + arm, before.object),
            object_quat=jnp.where(carried, rotations.turn(half_turn, before.object_quat), before.object_quat),
            held=jnp.where(carried, ~released, grasped).astype(jnp.float32),
        )
        in_chute = (hand[2] < CHUTE_TOP) & (hand[2] > CHUTE_BOTTOM)
        jammed = in_chute & (jnp.max(jnp.abs(hand[:2])) > self.chute)
        won, spoilt = self._finish(before, after, released)
        spoilt |= jammed | (closed & ~grasped)
        success = (won & ~spoilt).astype(jnp.float32)
        return state.replace(
            pipeline_state=after,
            obs=self._observe(after),
            reward=success,
            done=jnp.maximum(success, spoilt.astype(jnp.float32)),
            metrics=state.metrics | {'success': success},
        )

    def _observe(self, scene: Scene) -> jax.Array:
        fingers = jnp.stack([scene.opening, -scene.opening])
        return jnp.concatenate([scene.hand, scene.hand_quat, fingers, *self._object(scene)])

    def _in_hand(self, scene: Scene) -> tuple[jax.Array, jax.Array]:
        """The object's position (3,) and orientation (4,) in the hand's frame."""
        inverse = rotations.conjugate(scene.hand_quat)
        return rotations.rotate(inverse, scene.object - scene.hand), rotations.multiply(inverse, scene.object_quat)
