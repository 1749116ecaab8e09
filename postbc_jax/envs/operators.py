"""Scripted operators: the contract that envs.record plays, and the demonstrators of the manipulation tasks.

They stand in for people at the head of the pipeline; demonstrations made with them are always called scripted.

The contract. An operator is a frozen dataclass of numbers (flax.struct, so a pytree), for ONE environment:

    @struct.dataclass
    class Steady(Operator):
        gain: float = 0.6

        def init(self, state, key):                 # memory at the start of an episode: any pytree, () where none
            return ()

        def __call__(self, state, memory, key):     # -> action (A,) in [-1, 1], memory of the same shapes
            action = jnp.clip(self.gain * error(state), -1, 1)
            return action + self.noise * jax.random.normal(key, action.shape), memory

- The operators of one environment are ONE class with different numbers: `record` stacks them, so that episodes by all
  of them are one compiled, vmapped rollout. Numbers are floats or ints (leaves); no strings, no static fields.
- `state` is the brax State of the bare environment: an operator may read `pipeline_state`, it need not live on `obs`.
- `noise` is the one setting every operator has: at 0 (the default) it is a deterministic function of state and memory
  and ignores its keys; above 0 it is the standard deviation, in action units, of what it does differently each time.
  `record(..., noise)` sets it. `record` clips actions to [-1, 1] and writes down the clipped ones.
- `env.operators()` returns {name: operator}, in the order in which `record` takes turns.

The operators of Lift, Can and Square, one servo (ArmOperator) with different numbers:

| name     | pace | approach                                      | turns its hand      | carries         | hesitates |
|----------|------|-----------------------------------------------|---------------------|-----------------|-----------|
| steady   | .6   | stops 6 cm straight above the grasp           | above the object    | up, then across | -         |
| brisk    | 1    | dead-beat; stops 4 cm straight above          | threading the chute | both at once    | -         |
| careful  | .4   | soft; centres high, stops 8 cm straight above | above the object    | up, then across | 1 step    |
| sideways | .7   | from 5 cm beside (+x) and 5 cm above          | above the object    | up, then across | -         |
| planner  | .8   | centres highest, stops 6 cm straight above    | before the chute    | both at once    | -         |
| hesitant | .7   | from 3 cm beside (-x) and 6 cm above          | above the object    | up, then across | 3 steps   |

Paces are the largest action used; hesitation is a pause between any two stages. With noise an episode's pace varies by
a factor exp(noise * N(0, 1)) and the six motion dimensions tremble by noise * N(0, 1) at every step; the stages wait
for the hand to be as close as the noise lets it.

Two more succeed and err on the way, always alike; they demonstrate only where they are named (`env.erring()`):

| freezing | as steady, but stands still for 12 steps with the object in hand, before it carries it on |
| straying | as steady, but goes 15 cm astray (+y) above the object, before it reaches for it           |
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from brax.envs.base import State
from flax import struct

from postbc_jax.envs import rotations
from postbc_jax.envs.scene import CARRY, CHUTE_BOTTOM, CHUTE_TOP, TURN, Scene

Memory = Any  # a pytree of arrays


@struct.dataclass
class Operator:
    """A scripted demonstrator of one environment; see the contract at the top of this file.

    Attributes:
      noise: standard deviation, in action units, of what differs from time to time; 0 is deterministic.
    """

    noise: float = 0.0

    def init(self, state: State, key: jax.Array) -> Memory:
        """The memory at the start of an episode; key is typed."""
        raise NotImplementedError

    def __call__(self, state: State, memory: Memory, key: jax.Array) -> tuple[jax.Array, Memory]:
        """The action (A,) and the memory for the next step; key is typed and new at every step."""
        raise NotImplementedError


# Stages of a manipulation, in order; a task may begin later and end earlier.
ENTER, THREAD, HOVER, REACH, CLOSE, RAISE, OVER, LOWER, RELEASE, RETREAT = range(10)


@struct.dataclass
class Servo(Operator):
    """A hand's proportional servo through stages `first` to `last`, each with a target of its own.

    The next stage begins where the hand is close enough to its target, after a pause of `hesitation` steps.

    Attributes:
      speed: metres per step at a full action, where the hand follows at once.
      pace: largest action, in (0, 1].
      gain: share of the remaining way asked for in a step.
      hesitation: steps of standing still between stages.
    """

    first: ClassVar[int] = ENTER
    last: ClassVar[int] = RELEASE

    speed: float = 0.05
    pace: float = 0.6
    gain: float = 0.6
    hesitation: int = 0

    def init(self, state: State, key: jax.Array) -> Memory:
        """Stage, steps left to stand still, and this episode's own pace."""
        pace = self.pace * jnp.exp(self.noise * jax.random.normal(key))
        return jnp.int32(self.first), jnp.int32(0), jnp.minimum(pace, 1.0)

    def __call__(self, state: State, memory: Memory, key: jax.Array) -> tuple[jax.Array, Memory]:
        """One step of the servo; noise is added to the six motion dimensions, never to the gripper."""
        scene, (stage, wait, pace) = self._see(state), memory
        stage = self._resume(scene, stage)
        arrived = self._arrived(scene, stage) & (wait == 0)
        wait = jnp.where(arrived, self._pause(stage), jnp.maximum(wait - 1, 0))
        stage = jnp.minimum(stage + arrived, self.last)

        move = self.gain * self._move(scene)[stage - self.first] / self.speed
        turn = self.gain * 2 * self._turn(scene, stage) / TURN
        motion = jnp.clip(jnp.concatenate([move, turn]), -pace, pace) * (wait == 0)
        motion += self.noise * jax.random.normal(key, motion.shape)
        grip = jnp.where((stage >= CLOSE) & (stage < RELEASE), 1.0, -1.0)
        return jnp.append(motion, grip), (stage, wait, pace)

    def _see(self, state: State) -> Scene:
        """Where everything is."""
        raise NotImplementedError

    def _move(self, scene: Scene) -> jax.Array:
        """The way still to go in each stage from `first` to `last`, (stages, 3)."""
        raise NotImplementedError

    def _turn(self, scene: Scene, stage: jax.Array) -> jax.Array:
        """The half-angle vector (3,) still to turn."""
        raise NotImplementedError

    def _arrived(self, scene: Scene, stage: jax.Array) -> jax.Array:
        """Whether a stage's target is reached, as closely as the noise allows."""
        raise NotImplementedError

    def _resume(self, scene: Scene, stage: jax.Array) -> jax.Array:
        """The stage to go on with: an earlier one where something went wrong."""
        return stage

    def _pause(self, stage: jax.Array) -> jax.Array:
        """Steps to stand still after a stage."""
        return jnp.asarray(self.hesitation)


@struct.dataclass
class ArmOperator(Servo):
    """Lift, Can and Square by hand.

    Attributes:
      entry: metres above the chute at which the hand centres itself.
      hover: metres above the grasp at which it stops before reaching.
      side: metres beside the grasp, along x, at which it does.
      turn_from: the stage from which the hand takes the grasp's orientation: ENTER, THREAD or HOVER.
      swing: 1 to move sideways while raising, 0 to raise first.
      freeze: steps of standing still between closing the hand and raising it, an error.
      stray: metres beside the grasp, along y, at which it stops before reaching, another.
    """

    entry: float = 0.03
    hover: float = 0.06
    side: float = 0.0
    turn_from: int = HOVER
    swing: int = 0
    freeze: int = 0
    stray: float = 0.0

    def _see(self, state: State) -> Scene:
        return state.pipeline_state

    def _pause(self, stage: jax.Array) -> jax.Array:
        return self.hesitation + self.freeze * (stage == CLOSE)

    def _move(self, scene: Scene) -> jax.Array:
        hand, grasp = scene.hand, scene.grasp
        carry = (scene.goal - scene.object).at[2].set(CARRY - scene.object[2])
        return jnp.stack(
            [
                jnp.array([0.0, 0.0, CHUTE_TOP + self.entry]) - hand,
                jnp.array([0.0, 0.0, CHUTE_BOTTOM - 0.02]) - hand,
                grasp + jnp.array([self.side, self.stray, self.hover]) - hand,
                grasp - hand,
                grasp - hand,
                carry * jnp.array([self.swing, self.swing, 1]),
                carry,
                scene.goal - scene.object,
                jnp.zeros(3),
            ]
        )

    def _turn(self, scene: Scene, stage: jax.Array) -> jax.Array:
        """To the grasp's orientation, then straight again."""
        grasping = (stage >= self.turn_from) & (stage <= RAISE)
        target = jnp.where(grasping, scene.grasp_quat, rotations.DOWN)
        return rotations.error(target, scene.hand_quat)

    def _arrived(self, scene: Scene, stage: jax.Array) -> jax.Array:
        slack = self.noise * self.speed
        left = jnp.max(jnp.abs(self._move(scene)[stage]))
        askew = jnp.max(jnp.abs(self._turn(scene, stage)))
        near = (left < jnp.array(_CLOSE_ENOUGH)[stage] + slack) & (askew < 0.03 + self.noise * TURN)
        return jnp.where(stage == CLOSE, scene.held > 0, near) & (stage < RELEASE)


_CLOSE_ENOUGH = (0.004, 0.02, 0.01, 0.004, 0.0, 0.01, 0.004, 0.004, 0.0)  # m, by stage


def arm_operators(speed: float) -> dict[str, ArmOperator]:
    """The six operators of the table above, for an environment of `speed` metres per step."""
    return {
        'steady': ArmOperator(speed=speed),
        'brisk': ArmOperator(speed=speed, pace=1.0, gain=1.0, hover=0.04, turn_from=THREAD, swing=1),
        'careful': ArmOperator(speed=speed, pace=0.4, gain=0.5, entry=0.05, hover=0.08, hesitation=1),
        'sideways': ArmOperator(speed=speed, pace=0.7, gain=0.7, hover=0.05, side=0.05),
        'planner': ArmOperator(speed=speed, pace=0.8, gain=0.8, entry=0.06, turn_from=ENTER, swing=1),
        'hesitant': ArmOperator(speed=speed, pace=0.7, gain=0.6, side=-0.03, hesitation=3),
    }


def erring_operators(speed: float) -> dict[str, ArmOperator]:
    """The two that err."""
    return {
        'freezing': ArmOperator(speed=speed, freeze=12),
        'straying': ArmOperator(speed=speed, stray=0.15),
    }
