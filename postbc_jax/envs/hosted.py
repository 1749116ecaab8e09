"""The simulators of other packages by name, 'KIND:NAME', each in HostEnv's worker processes."""

import importlib.util
import inspect
import json
from typing import Any

from postbc_jax.envs.host import HostEnv

# kind: (the package that must be there, what installs it)
INSTALLED_BY = {
    'gymnasium': ('gymnasium', "pip install 'postbc_jax[gymnasium]'"),
    'metaworld': ('metaworld', "pip install 'postbc_jax[metaworld]'"),
    'ogbench': ('ogbench', "pip install 'postbc_jax[ogbench]'"),
    'robosuite': ('robosuite', 'make install-robosuite'),
}
_ADAPTER = tuple(
    name for name in inspect.signature(HostEnv).parameters if name not in ('name', 'simulator', 'settings', 'operators')
)


def make(name: str, **settings: Any) -> HostEnv:
    """Builds 'gymnasium:ID', 'metaworld:TASK', 'ogbench:ENVIRONMENT' or 'robosuite:TASK'.

    Args:
      name: as in `name`.
      settings: HostEnv's (horizon, sparse, at_once, workers, timeout); all others are the simulator's, of which
        `arguments` may be JSON text and `obs_keys` comma-separated.

    Raises:
      ValueError: the package is not installed, or the simulator refuses its name or settings.
    """
    kind, _, what = name.partition(':')
    package, install = INSTALLED_BY[kind]
    if importlib.util.find_spec(package) is None:
        raise ValueError(f'env={name!r}: the package {package} is not installed: {install}')
    adapter = {setting: settings.pop(setting) for setting in _ADAPTER if setting in settings}
    settings = {setting: _parsed(name, setting, value) for setting, value in settings.items()}
    operators = None
    if kind == 'robosuite':
        from postbc_jax.envs import robosuite

        def operators(env: HostEnv) -> dict[str, Any]:
            return robosuite.operators(what, env.obs_keys, env.env_args()['object_layout'])

    simulator = f'postbc_jax.simulators.{kind}'
    return HostEnv(name, simulator, {'id': what} | settings, operators=operators, **adapter)


def _parsed(name: str, setting: str, value: Any) -> Any:
    if setting == 'obs_keys' and isinstance(value, str):
        return [key.strip() for key in value.split(',') if key.strip()]
    if setting == 'arguments' and isinstance(value, str):
        try:
            parsed = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f'env={name!r}: arguments={value!r} is not JSON: {error}') from None
        if not isinstance(parsed, dict):
            raise ValueError(f'env={name!r}: arguments={value!r} must be a JSON object of names and values')
        return parsed
    return value
