"""Which configs can be run: every check that needs no data, before anything is recorded, trained or written."""

from collections.abc import Mapping

from ml_collections import ConfigDict

from launch import config as settings
from launch import watching
from postbc_jax.envelope.guard import MODES

_AT_LEAST_1 = (
    'seeds',
    'posterior.members',
    'record.episodes',
    'finetune.seeds',
    'finetune.chunks',
    'evaluate.episodes',
    'evaluate.coverage_starts',
    'evaluate.coverage_rollouts',
)
_AT_LEAST_2 = ('calibration.folds', 'calibration.members')
_AT_LEAST_0 = ('action_bound', 'record.noise', 'subset', 'pretrain.weight_decay', 'value_dice.steps', 'save_every')


def check(config: ConfigDict) -> None:
    """Refuses what can be refused before anything is recorded, trained or written.

    Raises:
      ValueError: a value that cannot be run; the message begins with config.NAME=VALUE.
    """
    for one in settings.each(config):
        settings.arms(one)
        for names, least in ((_AT_LEAST_2, 2), (_AT_LEAST_1, 1), (_AT_LEAST_0, 0)):
            for name in names:
                value = settings.value_of(one, name)
                if not value >= least:
                    raise ValueError(f'config.{name}={value}: must be at least {least}')
        for name in ('pretrain.learning_rate', 'finetune.bound', 'calibration.max_alpha', 'calibration.rms'):
            value = settings.value_of(one, name)
            if not value > 0:
                raise ValueError(f'config.{name}={value}: must be above 0')
    if not config.demos and config.subset > config.record.episodes:
        raise ValueError(
            f'config.subset={config.subset}: only config.record.episodes={config.record.episodes} demonstrations are '
            'recorded; 0 takes all of them'
        )
    for stage in ('posterior', 'pretrain'):
        settings.chunks(config, stage)
    if config.subset == 1 and (settings.calibrates(config) or settings.fits_envelope(config)):
        what = 'calibration' if settings.calibrates(config) else 'the fit of the envelope'
        raise ValueError(f'config.subset=1: {what} leaves demonstrations out: give each seed at least 2')
    _check_guard(config)
    if config.posterior.members == 1 and any(one.alpha == 'rms' for one in settings.each(config)):
        raise ValueError("config.posterior.members=1: has no spread of which config.alpha='rms' could be a part")
    settings.ensemble(config)
    settings.pretrain(config, settings.policy(config, obs_size=1, action_size=1))
    if config.value_dice.steps:
        settings.chunks(config, 'value_dice')
        settings.value_dice(config, settings.policy(config, obs_size=1, action_size=1))
    settings.algorithms(config)
    watching.check(config)


def _check_guard(config: ConfigDict) -> None:
    mode, rate = config.guard.mode, config.guard.rate
    if mode not in ('', *MODES):
        raise ValueError(f'config.guard.mode={mode!r}: choose one of {", ".join(MODES)}; or nothing for no guard')
    if not 0 < rate < 1:
        raise ValueError(f'config.guard.rate={rate}: must lie between 0 and 1')
    settings.guide(config, obs_size=1, action_size=1)
    if mode:
        return
    if config.guard.safe:
        raise ValueError(f'config.guard.safe={config.guard.safe}: nothing plays it without config.guard.mode')
    for spec in config.contexts:
        if isinstance(spec, Mapping) and spec.get('bound') is not None:
            raise ValueError(f'config.contexts: bound={spec["bound"]}: the guard keeps it: give config.guard.mode')
