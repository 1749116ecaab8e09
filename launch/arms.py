"""The arms of a comparison: what makes two rows the same arm, and what it is called in print.

Made from a config by launch.config, a column of every row that the pipeline writes, read back by the report.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

# bc and its baselines, then noise: also the order in print.
PRETRAIN = ('bc', 'bc_dropout', 'bc_weight_decay', 'weighted_bc', 'value_dice', 'sigma_bc', 'post_bc')
# The settings that say which arms there are: an arm has their values itself.
CHOSEN_BY = ('alphas', 'alpha', 'sigmas', 'matched', 'dropouts', 'weight_decays', 'betas')
# What may choose alpha at each seed: held-out demonstrations, or a given rms of the noise.
RULES = ('auto', 'rms')


class Arm(NamedTuple):
    """One arm.

    Attributes:
      pretrain: one of PRETRAIN.
      alpha: the posterior noise's weight in PostBC; 0 in every other. Where a rule chooses it, it differs by seed: nan
        until it is known, 0 where an arm is read back.
      sigma: standard deviation of isotropic noise in normalised action units. Of a matched arm it differs by seed: nan
        until it is known, 0 where an arm is read back.
      matched_alpha: of a matched arm, alpha of the PostBC arm whose noise rms it takes, as alpha where a rule chooses
        it; 0 in every other.
      dropout: bc_dropout's rate; 0 in every other.
      weight_decay: bc_weight_decay's; 0 in every other, which have config.pretrain.weight_decay.
      beta: weighted_bc's, of its weights exp(beta z); 0 in every other.
      alpha_by: the one of RULES that chooses alpha, or matched_alpha, at each seed; '' where it is a number given.
    """

    pretrain: str
    alpha: float = 0.0
    sigma: float = 0.0
    matched_alpha: float = 0.0
    dropout: float = 0.0
    weight_decay: float = 0.0
    beta: float = 0.0
    alpha_by: str = ''

    @property
    def matched(self) -> bool:
        """Whether its sigma is a PostBC arm's noise rms."""
        return self.pretrain == 'sigma_bc' and bool(self.matched_alpha or self.alpha_by)

    @property
    def name(self) -> str:
        """Without numbers that differ by seed."""
        if self.matched:
            return f'σ-BC matched to α={self.alpha_by or format(self.matched_alpha, "g")}'
        return {
            'bc': 'BC',
            'bc_dropout': f'BC dropout {self.dropout:g}',
            'bc_weight_decay': f'BC weight decay {self.weight_decay:g}',
            'weighted_bc': f'weighted BC β={self.beta:g}',
            'value_dice': 'ValueDICE',
            'sigma_bc': f'σ-BC σ={self.sigma:g}',
            'post_bc': f'PostBC α={self.alpha_by or format(self.alpha, "g")}',
        }[self.pretrain]


def arm_of(row: Mapping[str, Any]) -> Arm:
    """The arm of a row of results.jsonl, coverage.jsonl, noise.json or calibration.json: the same at every seed."""
    numbers = {name: float(row.get(name) or 0.0) for name in Arm._fields[1:-1]}
    arm = Arm(row['pretrain'], **numbers, alpha_by=row.get('alpha_by') or '')
    if arm.alpha_by:
        arm = arm._replace(alpha=0.0, matched_alpha=0.0)
    return arm._replace(sigma=0.0) if arm.matched else arm
