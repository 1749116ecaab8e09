"""How good each demonstration is, as the exponent of its weight in weighted behavioural cloning.

Between Demos and pretraining: a step of score z is drawn in proportion to exp(beta z). The exponential weight of MARWIL
(Wang et al., NeurIPS 2018: exp(beta A), beta = 0 is BC) and AWR (arXiv 1910.00177: exp(A / temperature)), with an
episode's return for the advantage, as in reward-weighted regression (Peters and Schaal, 2007): all steps of a
demonstration weigh the same, because with a sparse reward the return to go says how near the end a step is.
"""

import numpy as np

from postbc_jax.types import Demos

MEASURES = ('return', 'speed')
_LEAST_STD = 1e-6  # of returns, relative to their size; below it they are the same but for rounding


def scores(demos: Demos, mask: np.ndarray, measure: str, discount: float) -> np.ndarray:
    """z = (G - max G) / std G of each step's demonstration, over those that the mask holds; 0 at the other steps.

    max instead of the mean: the weights are the same up to a common factor, and the largest is 1 at any beta.

    Args:
      demos: N steps.
      mask: (N,), 1 at the steps of the demonstrations that are learnt from.
      measure: 'return', G = sum_t discount^t r_t of the rewards in the file; 'speed', G = discount^(length - 1), the
        return of a success reward at the last step, for files without rewards whose demonstrations all succeed.
      discount: in (0, 1]; below 1 for 'speed'.

    Returns:
      (N,) float32, at most 0.

    Raises:
      ValueError: no such measure or discount, or the demonstrations are all alike in it, which cannot weigh them.
    """
    if measure not in MEASURES:
        raise ValueError(f'measure={measure!r}: choose one of {", ".join(MEASURES)}')
    if not 0 < discount <= 1 or (measure == 'speed' and discount == 1):
        raise ValueError(f'discount={discount}: must be above 0 and at most 1, for speed below 1')
    episode, held = np.asarray(demos.episode), np.asarray(mask) > 0
    starts = np.searchsorted(episode, np.arange(demos.episodes))
    if measure == 'return':
        time = np.arange(len(episode)) - starts[episode]
        terms = np.power(discount, time) * np.asarray(demos.rewards, np.float64)
        returns = np.bincount(episode, terms, demos.episodes)
    else:
        returns = np.power(discount, np.bincount(episode, minlength=demos.episodes) - 1.0)
    chosen = returns[np.unique(episode[held])]
    if chosen.std() <= _LEAST_STD * np.abs(chosen).max(initial=1e-30):
        other = '' if measure == 'speed' else ", or 'speed' where all of them succeed"
        raise ValueError(
            f'measure={measure!r}: the {len(chosen)} demonstrations all have {chosen[0]:g}, which cannot weigh them: '
            f'give others{other}'
        )
    score = (returns - chosen.max()) / chosen.std()
    return np.where(held, score[episode], 0.0).astype(np.float32)
