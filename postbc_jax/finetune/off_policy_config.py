"""The settings that sac and dsrl_na share; each adds its own and gives them the name that its refusals call them by."""

import dataclasses
from typing import ClassVar

from postbc_jax.finetune import rewards
from postbc_jax.networks import check_network


@dataclasses.dataclass(frozen=True)
class OffPolicyConfig:
    """What all learners of a population share. Decisions are counted over all environments of a learner.

    Attributes:
      decisions_per_chunk: decisions in one compiled call.
      environments: of each learner; each has a replay ring of its own.
      warmup_decisions: played with w ~ N(0, I), clipped to the bound, in the trainer's warm-up: that only fills the
        rings. The paper's tasks take 24000 steps or more; a tenth is enough for those that run in JAX.
      replay: transitions held, over all rings.
      updates_per_step: updates after each step of all environments together; the official DSRL code calls it UTD.
      batch_size: of an update; every ring gives the same share.
      hidden, activation: of the actor and of the critics. The paper's are 2048 wide; 256 is what two cores train at a
        useful rate.
      layer_norm: LayerNorm in the critics, as the paper's have it; it keeps many updates a step from diverging.
      learning_rate: Adam's, of actor, critics and temperature.
      discount: once per decision.
      tau: Polyak averaging of the target critics.
      temperature: to begin with.
      target_entropy: of the actor over [-1, 1]^D.
      target_margin: c; critics' targets are kept in [least return - c, greatest return + c].
      reward: 'success', 'success_minus_one' or 'env', see rewards.Reward.
      offline_share: of every batch, drawn with replacement from fixed transitions, as RLPD does (arXiv 2302.02948,
        with .5); DSRL has none.

    Raises:
      ValueError: a value that cannot be run.
    """

    section: ClassVar[str] = 'off_policy'  # what a refusal calls the settings

    decisions_per_chunk: int
    environments: int = 4
    warmup_decisions: int = 2000
    replay: int = 100_000
    updates_per_step: int = 20
    batch_size: int = 256
    hidden: tuple[int, ...] = (256, 256, 256)
    activation: str = 'tanh'
    layer_norm: bool = True
    learning_rate: float = 3e-4
    discount: float = 0.99
    tau: float = 0.005
    temperature: float = 1.0
    target_entropy: float = 0.0
    target_margin: float = 1.0
    reward: str = 'success_minus_one'
    offline_share: float = 0.0

    def __post_init__(self):
        for name in ('environments', 'updates_per_step'):
            self.require(name, getattr(self, name) >= 1, 'must be at least 1')
        multiple = f'must be a positive multiple of {self.section}.environments={self.environments}'
        for name in ('decisions_per_chunk', 'warmup_decisions', 'replay', 'batch_size'):
            value = getattr(self, name)
            self.require(name, value >= 1 and value % self.environments == 0, multiple)
        for name in ('learning_rate', 'tau', 'temperature'):
            self.require(name, getattr(self, name) > 0, 'must be above 0')
        self.require('tau', self.tau <= 1, 'must be at most 1, which copies the critics')
        self.require('discount', self.discount < 1, 'must be below 1, because time-outs are bootstrapped')
        self.require('offline_share', 0 <= self.offline_share < 1, 'must lie in [0, 1)')
        rows = self.offline_share * self.batch_size
        self.require(
            'offline_share',
            abs(rows - round(rows)) < 1e-6 and round(rows) % self.environments == 0,
            f'{rows:g} rows of {self.section}.batch_size={self.batch_size}; must be a multiple of '
            f'{self.section}.environments={self.environments}',
        )
        rewards.check(self.reward, self.discount)
        check_network(self.hidden, self.activation)

    def require(self, name: str, holds: bool, what: str) -> None:
        """Refuses a setting.

        Raises:
          ValueError: it does not hold.
        """
        if not holds:
            raise ValueError(f'{self.section}.{name}={getattr(self, name)}: {what}')

    @property
    def warm_chunks(self) -> int:
        """Compiled calls of the warm-up: as few as make it up in equal parts no longer than a chunk."""
        steps, longest = (n // self.environments for n in (self.warmup_decisions, self.decisions_per_chunk))
        return steps // max(n for n in range(1, min(steps, longest) + 1) if steps % n == 0)
