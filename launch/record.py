"""Records scripted demonstrations to a file: python -m launch.record --config=experiments/NAME.py --output=FILE.

What the first stage of an experiment does, by itself: config.env, config.env_settings and config.record (episodes,
operators, noise) say what is recorded. Says how long it will take once the first episodes are there.
"""

from pathlib import Path

import jax
from absl import app, flags
from ml_collections import config_flags

from launch import config as settings
from launch import errors
from launch.demonstrations import record
from launch.progress import Progress
from postbc_jax import data

_CONFIG = config_flags.DEFINE_config_file('config', None, 'experiments/NAME.py[:arg]; override with --config.key=value')
_OUTPUT = flags.DEFINE_string('output', None, 'the robomimic HDF5 file; one that is there is not overwritten')


def main(argv: list[str]) -> None:
    del argv
    config, path = _CONFIG.value, Path(_OUTPUT.value)
    with errors.in_one_line():
        if path.exists():
            raise ValueError(f'--output={path}: the file is there already: give another name or remove it')
        if not path.parent.is_dir():
            raise ValueError(f'--output={path}: there is no directory {path.parent}')
        env = settings.environment(config)
        progress = Progress(1)
        progress.stage('record')
        record(str(path), config, env, jax.random.key(config.seed), progress)
        demos = data.load(str(path), action_bound=config.action_bound or None)
    progress.say(f'{demos.episodes} episodes, {len(demos.obs)} steps by {", ".join(sorted(set(demos.operators)))}')


if __name__ == '__main__':
    flags.mark_flags_as_required(['config', 'output'])
    app.run(main)
