"""The posterior over the demonstrator's behaviour: an ensemble, its covariance, and the noise drawn with it.

Second on the pipeline: Demos -> posterior -> policy.
"""

from postbc_jax.posterior.ensemble import EnsembleConfig, Predictor, ensemble

__all__ = ['EnsembleConfig', 'Predictor', 'ensemble']
