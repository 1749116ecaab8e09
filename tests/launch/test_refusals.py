"""What the launchers refuse: one line that names it, exit status 1, and nothing is changed."""

import json
import subprocess
import sys

from postbc_jax import data
from postbc_jax.data import robomimic
from tests.launch.tiny_runs import ROOT, content, environment, finish

FORKS = """
import json, os, sys, warnings
from launch import local, run

for case in json.loads(sys.argv[1]):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # jax and numpy have threads, but nothing has run in them yet
        child = os.fork()
    if child == 0:
        sys.argv = ['launch', *case]
        run.launch(run.main if any('--point=' in argument for argument in case) else local.main)
    _, status = os.wait()
    print('status', os.waitstatus_to_exitcode(status), file=sys.stderr, flush=True)
"""


def test_refusals_are_one_line_and_name_what_is_wrong(whole, tiny, tmp_path):
    """In forks of one process, which has imported what takes long. A directory that was only refused stays usable."""
    directory, demos, fresh = whole[0], whole[0] / 'demos.hdf5', f'--workdir={tmp_path / "fresh"}'
    text = tmp_path / 'text.hdf5'
    text.write_text('no demonstrations')
    config = f'--config={tiny}'
    elsewhere = tmp_path / 'elsewhere.hdf5'
    recorded = data.load(str(demos)).replace(env_args='{"env_name": "Lift", "env_version": "1.4.1", "type": 1}')
    robomimic.save(str(elsewhere), recorded)
    cases = {
        (config, f'--workdir={directory}', '--config.pretrain.steps=800'): f'{directory}/config.json: this directory '
        'was begun with pretrain.steps=400, not 800: use the old value or another --workdir',
        (config, f'--workdir={directory}', '--config.finetune.chunks=2'): 'begun with finetune.chunks=3, not 2: use',
        (config, fresh, '--config.dsrl_ppo.nope=1'): "--config.dsrl_ppo.nope=1: the config has no 'nope'",
        (config, fresh, '--config.seeds=two'): '--config.seeds=two: invalid literal',
        (config, fresh, 'config.seeds=1'): "'config.seeds=1': unexpected",
        (config,): '--workdir',
        (config, fresh, '--config.evaluate.episodes=0'): 'config.evaluate.episodes=0: must be at least 1',
        (config, fresh, '--config.dsrl_ppo.minibatches=7'): 'config.dsrl_ppo.minibatches=7: must divide the 160 '
        'samples of a group',
        (swept(tmp_path, tiny, 'a', {'env': 'nope'}), fresh): "config.env='nope': no such environment",
        (swept(tmp_path, tiny, 'b', {'dsrl_ppo.minibatches': 7}), fresh): 'config.dsrl_ppo.minibatches=7: must divide',
        (config, fresh, '--point=1'): '--point=1: the sweep has points 0 to 0',
        (config, f'--workdir={text}'): f'--workdir={text}: ',
        (f'--config={tmp_path}/none.py', fresh): f'{tmp_path}/none.py',
        (f'--config={tmp_path}/none.py', fresh, '--config.seeds=2'): f'{tmp_path}/none.py',
        ('--config=experiments/quickstart.py:nope', fresh): 'quickstart.py:nope: the argument is smoke or nothing',
        (config, fresh, '--config.env=nope'): "config.env='nope': no such environment",
        (config, fresh, '--config.env=brax:reacher'): 'success_metric=NAME and --config.env_settings.',
        (config, fresh, '--config.record.operators=stead'): 'config.record.operators=stead: gate has steady',
        (config, fresh, f'--config.demos={tmp_path}/none.hdf5'): f'{tmp_path}/none.hdf5: no such file',
        (
            config,
            fresh,
            f'--config.demos={elsewhere}',
        ): "recorded in 'Lift' of robosuite, but the policies would act in "
        "'gate' of brax: choose --config.env=robosuite:Lift, or --config.allow_other_env=True",
        (config, fresh, f'--config.demos={text}'): f'{text}: neither HDF5 nor npz',
        (config, fresh, f'--config.demos={demos}', '--config.obs_keys=context'): 'dimension 2 (context 2), but the '
        "environment's is 4",
        (config, fresh, f'--config.demos={demos}', '--config.obs_keys=position,nope'): "no key 'nope'",
        (config, fresh, f'--config.demos={demos}', '--config.obs_keys=context,position'): 'in the order context, '
        'position, but gate observes position, context',
        (config, fresh, f'--config.demos={demos}', '--config.mask=nope'): "mask 'nope'",
        (config, fresh, f'--config.demos={demos}', '--config.subset=7'): 'config.subset=7: there are 6 demonstrations',
    }
    before = content(directory)
    command = [sys.executable, '-c', FORKS, json.dumps(list(cases))]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert lines[1::2] == ['status 1'] * len(cases), done.stderr
    for line, expected in zip(lines[::2], cases.values(), strict=True):
        assert line.startswith('error: ') and expected in line
    assert content(directory) == before
    assert not list(tmp_path.glob('fresh/point_*'))  # no point of a sweep was run


def swept(tmp_path, tiny, name, point):
    """--config of the tiny experiment as a sweep of two points: itself, and another."""
    file = tmp_path / f'sweep_{name}.py'
    file.write_text(f'{tiny.read_text()}\n\ndef sweep():\n    return [{{}}, {point!r}]\n')
    return f'--config={file}'


def test_a_fault_keeps_its_traceback(tiny, start, tmp_path):
    """Here the user's own, in the experiment's file."""
    file = tmp_path / 'faulty.py'
    file.write_text(f"{tiny.read_text()}\n\ndef sweep():\n    return [{{'seeds': int('two')}}]\n")
    _, err = finish(start(f'--config={file}', f'--workdir={tmp_path}/fresh'), status=1)
    assert "return [{'seeds': int('two')}]" in '\n'.join(err)
    assert err[-1] == "ValueError: invalid literal for int() with base 10: 'two'"
