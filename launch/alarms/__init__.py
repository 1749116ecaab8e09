"""How often guards speak: on demonstrations that they have not seen, and on wild chunks.

Beside the report, after a run with a guard: `python -m launch.alarms --workdir=DIR`. A rate of false alarms is promised
on average over demonstrators like these; this measures it, seed by seed, and what it is paid for with.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from launch import config as settings
from launch import envelopes
from launch.demonstrations import path_of_run
from launch.envelope.flagged import shares, strange
from launch.envelope.subject import learnt_from
from launch.workdir import read_config
from postbc_jax import atomic, checkpoint, data
from postbc_jax.data import validate, windows
from postbc_jax.envelope import wild
from postbc_jax.envelope.envelope import Envelope
from postbc_jax.stats import mean_interval

FILE = 'alarms.json'
SAID = {
    'chunk': "of demonstrators' chunks flagged",
    'state': 'of their states flagged',
    'either': 'of their decisions flagged, by either test',
    'wild_caught': 'of random chunks caught there',
}


def make_alarms(workdir: str, file: str = '') -> list[str]:
    """Measures, writes WORKDIR/alarms.json and says it: a line for each context.

    Raises:
      ValueError: no guard there, or demonstrations that do not fit or were all learnt from.
    """
    rows = measure(Path(workdir), file)
    atomic.write(Path(workdir) / FILE, json.dumps(rows, indent=1) + '\n')
    lines = []
    for context in dict.fromkeys(row['context'] for row in rows):
        here = [row for row in rows if row['context'] == context]
        asked = f'{100 * here[0]["rate"]:g} % asked for'
        said = '; '.join(f'{_percent([row[name] for row in here])} {what}' for name, what in SAID.items())
        lines.append(f'{context}, {asked}, {len(here)} seeds: {said}')
    return lines


def measure(folder: Path, file: str = '') -> list[dict[str, Any]]:
    """A row for every seed and context: its rate, of how many `demonstrations` and `decisions`, and SAID's shares.

    Args:
      folder: of a run.
      file: of demonstrations; '' is the run's own. Those that a seed has learnt from are left out for it.

    Raises:
      ValueError: as make_alarms.
    """
    kept = folder / 'policies' / envelopes.NAME
    if not kept.is_dir():
        raise ValueError(f'{kept}: is not there: give the folder of a run with --config.guard.mode')
    stack, labels = checkpoint.load_policies(kept, Envelope)
    config = read_config(folder / 'config.json')
    file = file or path_of_run(config, folder)
    demos = data.load(file, settings.obs_keys(config), None, config.action_bound or None)
    base = stack.guide.config
    validate.check_env(demos, base.obs_size, base.action_size, file)
    rates = stack.contexts.rates(config.guard.rate)
    rows = []
    for index, label in enumerate(labels):
        envelope = jax.tree.map(lambda x, index=index: x[index], stack)
        learnt, _ = learnt_from(config, folder, demos, label['seed'])
        steps = np.flatnonzero(~learnt[demos.episode])
        if not len(steps):
            raise ValueError(f'{file}: seed {label["seed"]} has learnt from all of it: give --demos=FILE with others')
        obs, chunks = windows.windows(demos, envelope.guide.normaliser, base.chunk).take(steps)
        found = {
            'chunk': np.asarray(shares(envelope, obs, chunks[:, None]))[:, 0] > 1,
            'state': np.asarray(strange(envelope, obs)) > 1,
        }
        found |= {'either': found['chunk'] | found['state']}
        found |= {'wild_caught': wild.caught(envelope, obs, jax.random.key(envelopes.WILD))}
        context = np.asarray(stack.contexts(demos.obs[steps]))
        for number, (name, rate) in enumerate(zip(stack.contexts.names, rates, strict=True)):
            here = context == number
            if here.any():
                who = {'demonstrations': len(np.unique(demos.episode[steps][here])), 'decisions': int(here.sum())}
                row = {'seed': label['seed'], 'context': name, 'rate': rate} | who
                rows.append(row | {name: float(values[here].mean()) for name, values in found.items()})
    return rows


def _percent(values: Sequence[float]) -> str:
    mean = mean_interval(np.array(values))
    text = f'{100 * mean.value:.1f} %'
    return text if len(values) == 1 else f'{text} [{100 * mean.low:.1f}, {100 * mean.high:.1f}]'
