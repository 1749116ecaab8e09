"""PPO's settings, whatever it acts with: read by ppo, the trainer; dsrl_ppo and dppo each have them.

Defaults are for a small actor of the noise with hundreds of environments in JAX; dppo has DPPO's.
"""

import dataclasses
from typing import ClassVar

from postbc_jax.finetune import rewards
from postbc_jax.networks import check_network


@dataclasses.dataclass(frozen=True)
class PPOConfig:
    """What all learners of a PPO population share.

    DPPO is arXiv 2409.00588, whose code is meant where the paper says nothing.

    Attributes:
      iterations_per_chunk: iterations (unroll, then epochs of updates) in one compiled call.
      environments: of each learner.
      unroll: decisions an iteration and environment; 0 is one whole episode.
      hidden, activation: of the critic, and of an actor that is a network of its own.
      learning_rate: Adam's, of what acts.
      critic_learning_rate: Adam's, of the critic; 0 is learning_rate (DPPO: 10 times it).
      epochs: passes over an iteration's samples.
      minibatches: updates a pass.
      groups: samples are shuffled within groups of environments, and a minibatch holds the same share of every group:
        so that the data axis can hold whole groups, and the numbers do not depend on the device count.
      discount: once per decision. At 1 the return is success within the horizon: a time-out then ends it, because
        bootstrapping without a discount has no unique value. Below 1 a time-out is no end of the task.
      gae_lambda: lambda of generalised advantage estimation.
      clip: of the probability ratio.
      value_cost: weight of half the squared value error.
      entropy_cost: weight of the acting distribution's entropy.
      max_gradient_norm: of the global norm of actor and critic together; 0 does not clip.
      target_kl: an update at which the estimated KL divergence from the unroll's policy exceeds it is dropped, with all
        that follow in the iteration, the critic's too; 0 drops none (DPPO: 1).
      critic_warmup: iterations at the beginning in which only the critic learns (DPPO: 2).
      reward_scaling: divide rewards by the running standard deviation of the return, see returns.scale (DPPO: True).
      reward: 'success', 'success_minus_one' or 'env', see rewards.Reward.

    Raises:
      ValueError: a value that cannot be run.
    """

    name: ClassVar[str] = 'dsrl_ppo'  # of the algorithm, in refusals

    iterations_per_chunk: int
    environments: int = 512
    unroll: int = 0
    hidden: tuple[int, ...] = (64, 64)
    activation: str = 'tanh'
    learning_rate: float = 1e-3
    critic_learning_rate: float = 0.0
    epochs: int = 4
    minibatches: int = 4
    groups: int = 8
    discount: float = 1.0
    gae_lambda: float = 0.95
    clip: float = 0.2
    value_cost: float = 0.5
    entropy_cost: float = 0.0
    max_gradient_norm: float = 1.0
    target_kl: float = 0.0
    critic_warmup: int = 0
    reward_scaling: bool = False
    reward: str = 'success'

    def __post_init__(self):
        for name in ('iterations_per_chunk', 'environments', 'epochs', 'minibatches', 'groups'):
            self._require(name, getattr(self, name) >= 1, 'must be at least 1')
        for name in ('learning_rate', 'clip'):
            self._require(name, getattr(self, name) > 0, 'must be above 0')
        for name in ('critic_learning_rate', 'value_cost', 'max_gradient_norm', 'target_kl', 'critic_warmup'):
            self._require(name, getattr(self, name) >= 0, 'must be at least 0')
        self._require('unroll', self.unroll >= 0, 'decisions, or 0 for one whole episode')
        self._require('gae_lambda', 0 <= self.gae_lambda <= 1, 'must lie in [0, 1]')
        divides = self.environments % self.groups == 0
        self._require('environments', divides, f'must be a multiple of {self.name}.groups={self.groups}')
        rewards.check(self.reward, self.discount)
        check_network(self.hidden, self.activation)

    def _require(self, field: str, holds: bool, what: str) -> None:
        if not holds:
            raise ValueError(f'{self.name}.{field}={getattr(self, field)}: {what}')

    def group_samples(self, horizon: int) -> int:
        """How many samples an iteration gives a group, in an environment of so many decisions an episode.

        Raises:
          ValueError: the minibatches do not divide them.
        """
        decisions = self.unroll or horizon
        samples = decisions * self.environments // self.groups
        self._require(
            'minibatches',
            samples % self.minibatches == 0,
            f'must divide the {samples} samples of a group '
            f'({decisions} decisions x {self.environments} environments / {self.groups} groups)',
        )
        return samples
