"""Any environment of brax, 'brax:NAME', as a task of ours."""

import inspect
from typing import Any

from brax import envs

from postbc_jax.envs.metric_task import MetricTask


class BraxTask(MetricTask):
    """See MetricTask. The dynamics are brax's, deterministic once reset.

    Args (of the constructor):
      name: the name that brax.envs knows it by.
      success_metric, success_threshold, below, horizon, sparse: MetricTask's.
      settings: passed to the brax environment ('backend', ...).

    Raises (in the constructor):
      ValueError: brax has no such environment, it does not take a setting, or as MetricTask.
    """

    def __init__(
        self,
        name: str,
        success_metric: str | None = None,
        success_threshold: float | None = None,
        below: bool = False,
        horizon: int = 1000,
        sparse: bool = True,
        **settings: Any,
    ):
        if name not in envs._envs:
            raise ValueError(f'brax:{name}: no such environment; brax has {", ".join(sorted(envs._envs))}')
        try:
            inspect.signature(envs._envs[name]).bind(**settings)
        except TypeError as error:
            raise ValueError(f'brax:{name}: settings {sorted(settings)}: {error}') from error
        env = envs.get_environment(name, **settings)
        super().__init__(f'brax:{name}', env, success_metric, success_threshold, below, horizon, sparse, settings)
