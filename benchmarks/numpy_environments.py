"""The built-in tasks again, in plain numpy over all environments at once: the benchmark's peer, and a second opinion.

Same kinematics, observations, endings and start distributions as postbc_jax.envs, written for arrays that lead with
the number of environments; only finished rows are restarted, which numpy can do and a compiled scan cannot.
"""

import numpy as np

from postbc_jax.envs import can, gate, lift, manipulation, scene, square

Arrays = dict[str, np.ndarray]


class NumpyEnvironments:
    """`environments` copies of a task, stepped together; finished ones restart."""

    def __init__(self, task, environments: int, seed: int = 0):
        self.task = task
        self.random = np.random.default_rng(seed)
        self.state = task.start(self.random, environments)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Actions (B, A) -> observations (B, O) and successes (B,)."""
        self.state, success, done = self.task.advance(self.state, actions, self.random)
        ended = np.flatnonzero(done)
        if len(ended):
            for name, fresh in self.task.start(self.random, len(ended)).items():
                self.state[name][ended] = fresh
        return self.task.observe(self.state), success


def make(name: str, environments: int) -> NumpyEnvironments:
    """The task of that name, for so many environments."""
    return NumpyEnvironments(_Gate() if name == 'gate' else _Manipulation(name), environments)


class _Gate:
    def start(self, random: np.random.Generator, n: int) -> Arrays:
        return {
            'step': np.zeros(n, np.int32),
            'y': random.uniform(-0.3, 0.3, n).astype(np.float32),
            'context': random.uniform(-1, 1, (n, 2)).astype(np.float32),
        }

    def advance(self, state: Arrays, actions: np.ndarray, random: np.random.Generator):
        step = state['step'] + 1
        drift = gate.Gate.drift * random.standard_normal(len(step), np.float32)
        y = state['y'] + gate.Gate.speed * np.clip(actions[:, 0], -1, 1) + drift
        c1, c2 = state['context'].T
        goal = 0.7 * np.sin(2.5 * c1 + 1.5 * c2**2)
        stuck = (step == gate.Gate.horizon // 2) & (np.abs(y) > gate.Gate.gate_half_width)
        end = step == gate.Gate.horizon
        success = end & (np.abs(y - goal) < gate.Gate.goal_half_width)
        return {'step': step, 'y': y, 'context': state['context']}, success, stuck | end

    def observe(self, state: Arrays) -> np.ndarray:
        x = (-1 + 2 * state['step'] / gate.Gate.horizon).astype(np.float32)
        return np.column_stack([x, state['y'], state['context']])


class _Manipulation:
    def __init__(self, name: str, rare_fraction: float = 0.3, speed: float = 0.05, chute: float = 0.02):
        self.name, self.rare_fraction, self.speed, self.chute = name, rare_fraction, speed, chute

    def start(self, random: np.random.Generator, n: int) -> Arrays:
        u = random.random((n, 8), np.float32)
        signed, rare = 2 * u - 1, u[:, :1] < self.rare_fraction
        dense = np.array(manipulation.DENSE_CENTRE, np.float32) + manipulation.DENSE_SPREAD * signed[:, 1:3]
        c1, c2 = np.where(rare, signed[:, 1:3], dense).T
        place = np.where(rare, manipulation.SPREAD_RARE, manipulation.SPREAD_DENSE) * signed[:, 3:5]
        height = manipulation.HALF_HEIGHT + manipulation.HALF_HEIGHT_SPREAD * c2
        quat = np.zeros((n, 4), np.float32)
        quat[:, 2], quat[:, 3] = manipulation.YAW_SPREAD * c1, 1
        quat /= np.linalg.norm(quat, axis=1, keepdims=True)
        bend = np.sin(2.5 * c1 + 1.5 * c2**2)
        block = np.column_stack([place, height])
        down = np.tile(np.array([1, 0, 0, 0], np.float32), (n, 1))
        if self.name == 'can':
            grasp, grasp_quat = np.column_stack([place, 2 * height]), down
            goal = np.column_stack([np.full(n, can.SHELF_X), can.SHELF_REACH * bend, height])
        else:
            reach = lift.BALANCE if self.name == 'lift' else square.HANDLE
            axis = _rotate(quat, np.tile(np.array([1, 0, 0], np.float32), (n, 1)))
            grasp, grasp_quat = block + reach * bend[:, None] * axis, _multiply(quat, down)
            goal = block + np.array([0, 0, lift.RISE])
            if self.name == 'square':
                goal = np.tile(np.array([*square.PEG, square.PEG_TOP - 0.02]), (n, 1))
        hand = np.array([0, 0, manipulation.START_HEIGHT]) + np.array(manipulation.START_SPREAD) * signed[:, 5:8]
        start = {
            'hand': hand,
            'hand_quat': down.copy(),
            'opening': np.full(n, scene.OPEN),
            'object': block,
            'object_quat': quat,
            'held': np.zeros(n),
            'grasp': grasp,
            'grasp_quat': grasp_quat,
            'goal': goal,
        }
        return {name: value.astype(np.float32) for name, value in start.items()}

    def advance(self, state: Arrays, actions: np.ndarray, random: np.random.Generator):
        actions = np.clip(actions, -1, 1)
        hand = np.clip(
            state['hand'] + np.float32(self.speed) * actions[:, :3],
            np.array(manipulation.BOX_LOW, np.float32),
            np.array(manipulation.BOX_HIGH, np.float32),
        )
        h = np.float32(0.5 * scene.TURN) * actions[:, 3:6]
        hand_quat = _turn(h, state['hand_quat'])
        opening = np.clip(state['opening'] - np.float32(manipulation.RATE) * actions[:, 6], 0, np.float32(scene.OPEN))
        closed = (opening < manipulation.WIDTH) & (state['opening'] >= manipulation.WIDTH)
        at_grasp = (np.abs(hand - state['grasp']) < np.array(scene.GRASP_TOLERANCE, np.float32)).all(1)
        aligned = np.abs((hand_quat * state['grasp_quat']).sum(1)) > np.cos(scene.GRASP_ANGLE / 2)
        grasped = closed & at_grasp & aligned
        carried = state['held'] > 0
        released = carried & (opening >= manipulation.WIDTH)

        arm = state['object'] - state['hand']
        once = np.cross(h, arm)
        arm = arm + 2 / (1 + (h**2).sum(1, keepdims=True)) * (once + np.cross(h, once))
        after = state | {
            'hand': hand,
            'hand_quat': hand_quat,
            'opening': opening,
            'object': np.where(carried[:, None], hand + arm, state['object']),
            'object_quat': np.where(carried[:, None], _turn(h, state['object_quat']), state['object_quat']),
            'held': np.where(carried, ~released, grasped).astype(np.float32),
        }
        in_chute = (hand[:, 2] < scene.CHUTE_TOP) & (hand[:, 2] > scene.CHUTE_BOTTOM)
        jammed = in_chute & (np.abs(hand[:, :2]).max(1) > self.chute)
        won, spoilt = self._finish(state, after, released)
        spoilt |= jammed | (closed & ~grasped)
        return after, won & ~spoilt, won | spoilt

    def _finish(self, before: Arrays, after: Arrays, released: np.ndarray):
        held, away = after['held'] > 0, np.abs(after['object'] - after['goal'])
        if self.name == 'lift':
            return held & (after['object'][:, 2] > after['goal'][:, 2]), released.copy()
        if self.name == 'can':
            placed = (away[:, :2].max(1) < can.PLACE_TOLERANCE) & (away[:, 2] < can.DROP_HEIGHT)
            return released & placed, released & ~placed
        lowered = held & (before['object'][:, 2] >= square.PEG_TOP) & (after['object'][:, 2] < square.PEG_TOP)
        fits = (away[:, :2].max(1) < square.FIT) & (np.abs(after['object_quat'][:, 3]) > np.cos(square.FIT_ANGLE / 2))
        return lowered & fits, (lowered & ~fits) | released

    def observe(self, state: Arrays) -> np.ndarray:
        away = state['object'] - state['hand']
        if self.name == 'lift':
            relative = [-away]
        else:
            inverse = state['hand_quat'] * np.array([-1, -1, -1, 1], np.float32)
            relative = [_rotate(inverse, away), _multiply(inverse, state['object_quat'])]
        hand = [state['hand'], state['hand_quat'], state['opening'], -state['opening']]
        return np.column_stack([*hand, state['object'], state['object_quat'], *relative])


def _multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    u, v, s, t = a[:, :3], b[:, :3], a[:, 3:], b[:, 3:]
    return np.concatenate([s * v + t * u + np.cross(u, v), s * t - (u * v).sum(1, keepdims=True)], 1)


def _rotate(q: np.ndarray, v: np.ndarray) -> np.ndarray:
    once = np.cross(q[:, :3], v)
    return v + 2 * (q[:, 3:] * once + np.cross(q[:, :3], once))


def _turn(h: np.ndarray, q: np.ndarray) -> np.ndarray:
    turned = _multiply(np.column_stack([h, np.ones(len(h), h.dtype)]), q)
    return turned / np.linalg.norm(turned, axis=1, keepdims=True)
