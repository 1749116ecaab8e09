"""Statistics of success rates over seeds, tasks and evaluations, in numpy and scipy alone.

The last step of the pipeline before the report: what a handful of seeds can say about a difference, and what not.

Which interval for what. A success rate of ONE policy is a binomial share: `wilson`. The mean of an arm over seeds is
`mean_interval`, a comparison of two arms `paired_difference`: Student's t over seeds, since a bootstrap of n seeds
underestimates the variance by (n-1)/n and cuts the tails as well (with 3 seeds its 95% interval covers about 74%).
`stratified_bootstrap` is for many runs, several tasks, and statistics without a distribution of their own (the IQM,
the Kaplan-Meier median). Of many comparisons `holm` says which may be called differences.
"""

from postbc_jax.stats.comparisons import (
    holm,
    paired_difference,
    paired_p_value,
    probability_of_improvement,
    share_difference,
)
from postbc_jax.stats.curves import area_under_curve, pass_at_n, steps_to_threshold
from postbc_jax.stats.intervals import Interval, clustered_mean, mean_interval, quantile_interval, wilson
from postbc_jax.stats.resampling import bootstrap, iqm, stratified_bootstrap
from postbc_jax.stats.survival import kaplan_meier, median_time, restricted_mean

__all__ = [
    'Interval',
    'area_under_curve',
    'bootstrap',
    'clustered_mean',
    'holm',
    'iqm',
    'kaplan_meier',
    'mean_interval',
    'median_time',
    'paired_difference',
    'paired_p_value',
    'pass_at_n',
    'probability_of_improvement',
    'quantile_interval',
    'restricted_mean',
    'share_difference',
    'steps_to_threshold',
    'stratified_bootstrap',
    'wilson',
]
