"""The arms of a comparison: what makes two rows the same arm, and what it is called in print.

Made from a config by launch.config, a column of every row that the pipeline writes, read back by the report.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

# bc and its baselines, then noise: also the order in print.
PRETRAIN = ('bc', 'bc_dropout', 'bc_weight_decay', 'weighted_bc', 'value_dice', 'sigma_bc', 'post_bc')
# The settings that say which arms there are: an arm has their values itself.
CHOSEN_BY = ('alphas', 'sigmas', 'matched', 'dropouts', 'weight_decays', 'betas')


class Arm(NamedTuple):
    """One arm.

    Attributes:
      pretrain: one of PRETRAIN.
      alpha: the posterior noise's weight in PostBC; 0 in every other.
      sigma: standard deviation of isotropic noise in normalised action units. Of a matched arm it differs by seed: nan
        until it is known, 0 where an arm is read back.
      matched_alpha: of a matched arm, alpha of the PostBC arm whose noise rms it takes; 0 in every other.
      dropout: bc_dropout's rate; 0 in every other.
      weight_decay: bc_weight_decay's; 0 in every other, which have config.pretrain.weight_decay.
      beta: weighted_bc's, of its weights exp(beta z); 0 in every other.
    """

    pretrain: str
    alpha: float = 0.0
    sigma: float = 0.0
    matched_alpha: float = 0.0
    dropout: float = 0.0
    weight_decay: float = 0.0
    beta: float = 0.0

    @property
    def name(self) -> str:
        """Without numbers that differ by seed."""
        if self.matched_alpha:
            return f'σ-BC matched to α={self.matched_alpha:g}'
        return {
            'bc': 'BC',
            'bc_dropout': f'BC dropout {self.dropout:g}',
            'bc_weight_decay': f'BC weight decay {self.weight_decay:g}',
            'weighted_bc': f'weighted BC β={self.beta:g}',
            'value_dice': 'ValueDICE',
            'sigma_bc': f'σ-BC σ={self.sigma:g}',
            'post_bc': f'PostBC α={self.alpha:g}',
        }[self.pretrain]


def arm_of(row: Mapping[str, Any]) -> Arm:
    """The arm of a row of results.jsonl, coverage.jsonl or noise.json: the same at every seed."""
    numbers = {name: float(row.get(name) or 0.0) for name in Arm._fields[1:]}
    return Arm(row['pretrain'], **numbers | ({'sigma': 0.0} if numbers['matched_alpha'] else {}))
