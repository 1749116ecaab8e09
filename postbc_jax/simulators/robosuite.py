"""robosuite's tasks as simulators, observed as robomimic's published data observe them."""

import importlib.util
import inspect
import pathlib
import sys
import types
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np

from postbc_jax.simulators import robosuite_layout as layouts
from postbc_jax.simulators.simulator import Spec, Step


def make(
    id: str,
    arguments: dict[str, Any] | None = None,
    obs_keys: list[str] | None = None,
    layout: str = layouts.PUBLISHED,
) -> 'RobosuiteSimulator':
    """One instance of a single-armed task, without display, textures and visual meshes (4 MB, not 110).

    The model is built once: what robosuite draws when it builds (the half-sizes of Lift's cube, within 20 to 22 mm) is
    the same in every episode. Everything else that is random follows from the seed of the reset.

    Args:
      id: Lift, PickPlaceCan, NutAssemblySquare, or another task, without the key `object`.
      arguments: changes to robomimic's own (robosuite_layout.ARGUMENTS), as its files have them under env_kwargs;
        controller_configs in the terms of robosuite 1.4 or 1.5. What concerns displays and cameras is dropped.
      obs_keys: observables of robosuite, or `object`; robomimic's four, in its order, where none are given.
      layout: the robosuite version whose `object` is observed.

    Raises:
      ValueError: an unknown task, argument, observable or layout; absolute actions; or another version of robosuite
        than the layouts were checked against.
    """
    layouts.known_layout(layout, f'robosuite:{id}, layout')
    return RobosuiteSimulator(id, arguments or {}, tuple(obs_keys or layouts.KEYS), layout)


class RobosuiteSimulator:
    """See make."""

    def __init__(self, task: str, arguments: dict[str, Any], keys: tuple[str, ...], layout: str):
        robosuite = _robosuite()
        kind = robosuite.environments.base.REGISTERED_ENVS.get(task)
        if kind is None:
            names = ', '.join(layouts.OBJECTS)
            raise ValueError(f'robosuite:{task}: robosuite {robosuite.__version__} has no such task; there are {names}')
        if 'object' in keys and task not in layouts.OBJECTS:
            raise ValueError(
                f'robosuite:{task}: the layout of `object` is known for {", ".join(layouts.OBJECTS)} alone: name the '
                "task's observables by --config.env_settings.obs_keys"
            )
        arguments = layouts.arguments_of(task, arguments, _taken(kind), robosuite.__version__)
        self.task, self.keys, self.layout = task, keys, layout
        self.env = _headless(kind)(**arguments | _controllers(robosuite, arguments) | layouts.FIXED)
        for robot in self.env.robots:
            robot.robot_model.mujoco_model = None  # a second copy of its meshes
        found = self._parts(self.env.reset())
        for key in keys:
            if key not in found or np.ndim(found[key]) != 1:
                names = ', '.join(name for name, value in found.items() if np.ndim(value) == 1)
                raise ValueError(f'robosuite:{task}: obs_keys has {key!r}; its observables are {names}')
        low, high = self.env.action_spec
        self.spec = Spec(
            obs_keys=tuple((key, found[key].size) for key in keys),
            action_low=tuple(map(float, low)),
            action_high=tuple(map(float, high)),
            horizon=arguments.get('horizon', layouts.HORIZONS.get(task)),
            env_args={
                'env_name': task,
                'env_version': robosuite.__version__,
                'type': 1,
                'env_kwargs': arguments | layouts.FIXED,
                'object_layout': layout,
            },
        )

    def reset(self, seed: int) -> np.ndarray:
        # The placement samplers hold this very generator, so its state is replaced and not the object.
        self.env.rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state
        return self._vector(self._parts(self.env.reset()))

    def step(self, action: np.ndarray) -> Step:
        found, reward, _, _ = self.env.step(action.astype(np.float64))
        obs = self._vector(self._parts(found))
        return Step(obs, float(reward), False, False, bool(self.env._check_success()))

    def _parts(self, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if 'object' not in self.keys:
            return found
        return found | {'object': layouts.object_of(self.task, self.layout, found)}

    def _vector(self, found: dict[str, np.ndarray]) -> np.ndarray:
        return np.concatenate([found[key] for key in self.keys]).astype(np.float32)


def _robosuite() -> types.ModuleType:
    """The package, imported without its advice on the console.

    Raises:
      ValueError: a version that the layouts were not checked against.
    """
    root = pathlib.Path(importlib.util.find_spec('robosuite').origin).parent
    if not (root / 'macros_private.py').exists():
        quiet = types.ModuleType('robosuite.macros_private')
        quiet.CONSOLE_LOGGING_LEVEL = 'ERROR'
        sys.modules.setdefault(quiet.__name__, quiet)
    import robosuite

    if robosuite.__version__ not in layouts.SIMULATED:
        raise ValueError(
            f'robosuite {robosuite.__version__} is installed, whose observables are unknown here; known: '
            f'{", ".join(layouts.SIMULATED)}: make install-robosuite'
        )
    return robosuite


def _taken(kind: type) -> set[str]:
    """The arguments that a task's constructor and those it hands its own on to take."""
    names = set()
    for parent in kind.__mro__:
        parameters = inspect.signature(parent.__init__).parameters.values()
        names |= {p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names - {'self'}


def _controllers(robosuite: types.ModuleType, arguments: dict[str, Any]) -> dict[str, Any]:
    """controller_configs as 1.5 takes it: one composite configuration for one robot."""
    from robosuite.controllers.composite import composite_controller_factory as factory
    from robosuite.models.robots.robot_model import REGISTERED_ROBOTS

    robots, config = arguments['robots'], arguments['controller_configs']
    robot = robots[0] if isinstance(robots, list) else robots
    config = config[0] if isinstance(config, list) else config
    if not isinstance(robot, str) or robot not in REGISTERED_ROBOTS:
        raise ValueError(f'robosuite: robots={robots!r}: there are {", ".join(REGISTERED_ROBOTS)}')
    if factory.is_part_controller_config(config):
        config = layouts.part_controller(config)
        config = factory.refactor_composite_controller_config(config, robot, REGISTERED_ROBOTS[robot].arms)
    for part in config['body_parts'].values():
        if part.get('input_type') == 'absolute':
            layouts.part_controller(part)
    return {'controller_configs': config}


def _headless(kind: type) -> type:
    """The task without what only a camera sees; visual geoms stay, as points, so that every id stays."""

    class Headless(kind):
        def edit_model_xml(self, xml_str: str) -> str:
            root = ElementTree.fromstring(super().edit_model_xml(xml_str))
            meshes = set()
            for geom in root.iter('geom'):
                geom.attrib.pop('material', None)
                if geom.get('type') == 'mesh' and geom.get('contype') == geom.get('conaffinity') == '0':
                    del geom.attrib['mesh']
                    geom.attrib |= {'type': 'sphere', 'size': '0.001'}
                meshes.add(geom.get('mesh'))
            for site in root.iter('site'):
                site.attrib.pop('material', None)
            assets = root.find('asset')
            for asset in list(assets):
                if asset.tag in ('texture', 'material') or (asset.tag == 'mesh' and asset.get('name') not in meshes):
                    assets.remove(asset)
            return ElementTree.tostring(root, encoding='unicode')

    return Headless
