"""What a simulator is to a worker process: one instance of an environment that its seed and its actions determine."""

import dataclasses
from typing import Any, NamedTuple, Protocol

import numpy as np


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a simulator says of itself.

    Attributes:
      obs_keys: ((name, dimension), ...) in the order in which observations concatenate them.
      action_low, action_high: (A,) each, the bounds of an action.
      horizon: steps after which an episode has failed; None where the simulator does not say.
      env_args: the description that robomimic files carry: env_name, env_version, type, env_kwargs; JSON types.
      operators: names of its own scripted operators, which `act` knows.
    """

    obs_keys: tuple[tuple[str, int], ...]
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    horizon: int | None
    env_args: dict[str, Any]
    operators: tuple[str, ...] = ()


class Step(NamedTuple):
    """What one step led to.

    Attributes:
      obs: (O,) float32.
      reward: the simulator's own.
      terminated: the episode cannot go on.
      truncated: the simulator cut it for another reason than the task (its own time limit, a lost object).
      success: the task is done at this step.
    """

    obs: np.ndarray
    reward: float
    terminated: bool
    truncated: bool
    success: bool


class Simulator(Protocol):
    """One instance. After reset(seed), equal actions give equal observations, whatever it played before."""

    spec: Spec

    def reset(self, seed: int) -> np.ndarray:
        """Starts an episode that follows from the seed (in [0, 2**31)); returns obs (O,) float32."""

    def step(self, action: np.ndarray) -> Step:
        """Plays one action (A,) float32 within the bounds."""

    def act(self, operator: str) -> np.ndarray:
        """The action (A,) that the scripted operator takes now; only where `spec.operators` names any."""
