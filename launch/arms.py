"""The arms of a comparison: what makes two rows the same arm, and what it is called in print.

Made from a config by launch.config, a column of every row that the pipeline writes, read back by the report.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Arm(NamedTuple):
    """One arm.

    Attributes:
      pretrain: bc, sigma_bc or post_bc.
      alpha: the posterior noise's weight in PostBC; 0 in bc and sigma_bc.
      sigma: standard deviation of isotropic noise in normalised action units. Of a matched arm it differs by seed: nan
        until it is known, 0 where an arm is read back.
      matched_alpha: of a matched arm, alpha of the PostBC arm whose noise rms it takes; 0 in every other.
    """

    pretrain: str
    alpha: float = 0.0
    sigma: float = 0.0
    matched_alpha: float = 0.0

    @property
    def name(self) -> str:
        """Without numbers that differ by seed."""
        if self.pretrain == 'bc':
            return 'BC'
        if self.pretrain == 'post_bc':
            return f'PostBC α={self.alpha:g}'
        return f'σ-BC matched to α={self.matched_alpha:g}' if self.matched_alpha else f'σ-BC σ={self.sigma:g}'


def arm_of(row: Mapping[str, Any]) -> Arm:
    """The arm of a row of results.jsonl, coverage.jsonl or noise.json: the same at every seed."""
    matched_alpha = float(row.get('matched_alpha') or 0.0)
    return Arm(
        row['pretrain'], float(row['alpha']), 0.0 if matched_alpha else float(row.get('sigma') or 0.0), matched_alpha
    )
