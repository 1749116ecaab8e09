"""The gantry gripper of lift_mjx: its MuJoCo model with a cube on a table, its measures, and its scripted operators.

A hand on three slides above a table, held up against gravity, with two fingers that close along y. A finger's pad is a
pair of balls side by side: four contacts hold the cube, as two flat pads would. Nothing else of the hand collides, and
only with the cube. A slide's damping eats its momentum within a time step: a servo moves the hand a fixed share of the
way to its target, at .375 m/s at most, and presses with 30 N at most, too little to push its fingers through the cube.
Under a load it gives way a little: a held cube sinks by half a millimetre in a control step.

The operators are one servo with different numbers, at the pace of their actions; see envs.operators for the contract.

| name     | pace | approach                             | grasps          | hesitates |
|----------|------|--------------------------------------|-----------------|-----------|
| steady   | .7   | stops 5 cm straight above            | at the centre   | -         |
| brisk    | 1    | stops 3 cm straight above            | at the centre   | -         |
| careful  | .5   | stops 7 cm straight above            | at the centre   | 2 steps   |
| sideways | .8   | from 4 cm beside (+x), 4 cm above    | at the centre   | -         |
| shallow  | .8   | stops 5 cm straight above            | 8 mm above it   | -         |
| offset   | .7   | stops 5 cm above                     | 6 mm beside (x) | 1 step    |
"""

import jax
import jax.numpy as jnp
from brax.envs.base import State
from flax import struct

from postbc_jax.envs.contact import Motion
from postbc_jax.envs.operators import Memory, Operator

TIME_STEP, STEPS = 0.0125, 4  # s, and time steps in one control step: 20 Hz
OPEN = 0.04  # m, one finger's opening
HALF = 0.02  # m, half the cube's edge
RESTING = 0.01973  # m, the height of the cube's centre at rest: the table's contact is soft
HAND, FINGERS = slice(7, 10), slice(10, 12)  # of qpos; the cube comes first: position (3,), quaternion wxyz (4,)
HAND_LOW, HAND_HIGH = (-0.2, -0.2, 0.012), (0.2, 0.2, 0.3)  # m, where its target may be

MODEL = f"""
<mujoco model="gantry">
  <option timestep="{TIME_STEP}" integrator="Euler" cone="pyramidal" jacobian="dense">
    <flag eulerdamp="disable"/>
  </option>
  <default>
    <geom condim="3" friction="1.5 .005 .0001" solref=".025 1" solimp=".95 .99 .001"/>
    <default class="slide">
      <joint type="slide" damping="80"/>
      <position kp="4000" forcerange="-30 30"/>
    </default>
    <default class="finger">
      <joint type="slide" damping="20" armature=".2"/>
      <position kp="200"/>
      <geom type="sphere" size=".008" contype="0" conaffinity="2"/>
    </default>
  </default>
  <worldbody>
    <geom name="table" type="plane" size=".25 .25 .1" contype="1" conaffinity="0"/>
    <body name="cube">
      <freejoint/>
      <geom name="cube" type="box" size="{HALF} {HALF} {HALF}" mass=".2" contype="2" conaffinity="1"/>
    </body>
    <body name="hand" gravcomp="1" childclass="slide">
      <inertial pos="0 0 0" mass=".9" diaginertia=".001 .001 .001"/>
      <joint name="x" axis="1 0 0"/>
      <joint name="y" axis="0 1 0"/>
      <joint name="z" axis="0 0 1"/>
      <body name="left" gravcomp="1" childclass="finger">
        <inertial pos="0 0 0" mass=".05" diaginertia=".0001 .0001 .0001"/>
        <joint name="left" axis="0 1 0"/>
        <geom pos="-.01 .008 0"/>
        <geom pos=".01 .008 0"/>
      </body>
      <body name="right" gravcomp="1" childclass="finger">
        <inertial pos="0 0 0" mass=".05" diaginertia=".0001 .0001 .0001"/>
        <joint name="right" axis="0 -1 0"/>
        <geom pos="-.01 -.008 0"/>
        <geom pos=".01 -.008 0"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <position class="slide" joint="x"/>
    <position class="slide" joint="y"/>
    <position class="slide" joint="z"/>
    <position class="finger" joint="left"/>
    <position class="finger" joint="right"/>
  </actuator>
</mujoco>
"""

HOVER, REACH, CLOSE, RAISE = range(4)  # stages of a lift, in order
SQUEEZE = 6  # steps until the fingers hold what is between them


@struct.dataclass
class GantryOperator(Operator):
    """Lifts the cube by hand: a proportional servo through the four stages. If the cube is lost, it begins again.

    Attributes:
      speed: the environment's metres at a full action.
      pace: largest action, in (0, 1].
      hover: metres above the grasp at which the hand stops before reaching.
      side: metres beside the grasp, along x, at which it does.
      high: metres above the cube's centre at which it is grasped.
      beside: metres beside the cube's centre, along x, at which it is grasped.
      hesitation: steps of standing still between stages.
    """

    speed: float = 0.02
    pace: float = 0.7
    hover: float = 0.05
    side: float = 0.0
    high: float = 0.0
    beside: float = 0.0
    hesitation: int = 0

    def init(self, state: State, key: jax.Array) -> Memory:
        """Stage, steps left to stand still, and this episode's own pace."""
        pace = self.pace * jnp.exp(self.noise * jax.random.normal(key))
        return jnp.int32(HOVER), jnp.int32(0), jnp.minimum(pace, 1.0)

    def __call__(self, state: State, memory: Memory, key: jax.Array) -> tuple[jax.Array, Memory]:
        """One step of the servo; noise is added to the three motion dimensions, never to the gripper."""
        motion: Motion = state.pipeline_state
        stage, wait, pace = memory
        hand, cube = motion.qpos[HAND], motion.qpos[:3]
        grasp = cube + jnp.stack([self.beside, 0.0, self.high])
        ways = jnp.stack(
            [
                grasp + jnp.stack([self.side, 0.0, self.hover]) - hand,
                grasp - hand,
                jnp.zeros(3),
                jnp.array([0.0, 0.0, self.speed]),
            ]
        )
        near = jnp.max(jnp.abs(ways[stage])) < 0.003 + self.noise * self.speed
        arrived = jnp.where(stage < CLOSE, near, stage == CLOSE) & (wait == 0)
        stage = jnp.where((stage == RAISE) & (hand[2] - cube[2] > 0.03), HOVER, stage + arrived)
        pause = jnp.where(stage == CLOSE, SQUEEZE, self.hesitation)
        wait = jnp.where(arrived, pause, jnp.maximum(wait - 1, 0))

        go = jnp.clip(ways[stage] / self.speed, -pace, pace) * (wait == 0)
        go = go + self.noise * jax.random.normal(key, (3,))
        return jnp.append(go, jnp.where(stage >= CLOSE, 1.0, -1.0)), (stage, wait, pace)


def gantry_operators(speed: float) -> dict[str, GantryOperator]:
    """The six operators of the table above, for an environment whose full action is `speed` metres."""
    return {
        'steady': GantryOperator(speed=speed),
        'brisk': GantryOperator(speed=speed, pace=1.0, hover=0.03),
        'careful': GantryOperator(speed=speed, pace=0.5, hover=0.07, hesitation=2),
        'sideways': GantryOperator(speed=speed, pace=0.8, hover=0.04, side=0.04),
        'shallow': GantryOperator(speed=speed, pace=0.8, high=0.008),
        'offset': GantryOperator(speed=speed, beside=0.006, hesitation=1),
    }
