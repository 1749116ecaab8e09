"""The posterior over the demonstrator's behaviour: an ensemble, its residuals, and the noise drawn from them.

Second on the pipeline: Demos -> posterior -> policy.
"""

from postbc_jax.posterior.ensemble import EnsembleConfig, Predictor, ensemble

__all__ = ['EnsembleConfig', 'Predictor', 'ensemble']
