"""A tiny run whose alpha is calibrated, as a user starts it. That it can be stopped anywhere: test_kills."""

import json
import re
import shutil

import numpy as np
import pytest

from launch.arms import arm_of
from tests.launch.tiny_runs import finish, rows

SEEDS, FOLDS = 2, 2
CALIBRATED = ('--config.alpha=auto', f'--config.calibration.folds={FOLDS}', '--config.calibration.members=2')


@pytest.fixture(scope='module')
def run(tiny, start, tmp_path_factory):
    """(work directory, stdout) of a run without finetuning."""
    directory = tmp_path_factory.mktemp('calibrated')
    command = f'--config={tiny}', f'--workdir={directory}', *CALIBRATED, '--config.finetune.algorithm=none'
    out, err = finish(start(*command))
    assert err == []
    return directory, out


def test_calibration_is_a_stage_before_the_policies(run):
    directory, out = run
    names = ['demonstrations', 'posterior', 'calibration', 'policies', 'evaluation', 'finetune']
    assert [re.match(r'\[(./.)\] (\w+)', line).groups() for line in out[:6]] == [
        (f'{i}/6', name) for i, name in enumerate(names, 1)
    ]
    assert re.match(r'\[3/6\] calibration: 2 folds; alpha by held-out demonstrations \d\.\d\d, \d\.\d\d \(', out[2])
    stages = {path.name for path in (directory / 'checkpoints').iterdir()}
    assert stages == {'posterior', 'calibration_posterior', 'calibration_policies', 'pretrain'}
    learnt = [row for row in rows(directory, 'metrics.jsonl') if row['stage'] == 'calibration_policies']
    assert {(row['pretrain'], row['seed'], row['fold']) for row in learnt} == {
        ('bc', seed, fold) for seed in range(SEEDS) for fold in range(FOLDS)
    }


def test_rows_carry_the_alpha_that_was_used(run):
    directory, _ = run
    curves = json.loads((directory / 'calibration.json').read_text())
    chosen = {row['seed']: row['alpha_auto'] for row in curves}
    assert len(chosen) == SEEDS and 'PostBC α=auto' in (directory / 'report.html').read_text()
    for name in ('results.jsonl', 'coverage.jsonl'):
        found = [row for row in rows(directory, name) if row['alpha_by'] == 'auto']
        assert {arm_of(row).name for row in found} == {'PostBC α=auto', 'σ-BC matched to α=auto'}
        assert all(row['alpha'] + row['matched_alpha'] == chosen[row['seed']] for row in found)
    scales = {(arm_of(row).name, row['seed']): row for row in json.loads((directory / 'noise.json').read_text())}
    for seed, alpha in chosen.items():
        at_one, auto, twin = (scales[name, seed] for name in ('PostBC α=1', 'PostBC α=auto', 'σ-BC matched to α=auto'))
        np.testing.assert_allclose([auto['rms'], twin['rms']], alpha * at_one['rms'], rtol=1e-5)
    assert {(row['pretrain'], row['alpha_by']) for row in curves} == {
        (pretrain, rule) for pretrain in ('sigma_bc', 'post_bc') for rule in ('', 'auto')
    } | {('bc', '')}


def test_the_same_arms_of_a_run_without_it_are_the_same(run, whole):
    def arms(directory):
        untouched = [row for row in rows(directory) if row['finetune'] == 'none' and not row['alpha_by']]
        return sorted((arm_of(row).name, row['seed'], row['success_rate']) for row in untouched)

    assert arms(run[0]) == arms(whole[0]) != []


def test_it_is_not_made_again(run, tiny, start, tmp_path):
    """Of a run that was stopped after it, the file stands; it is another machine's where its checkpoints are gone."""
    directory = tmp_path / 'run'
    shutil.copytree(run[0], directory)
    for name in ('done.json', 'results.jsonl', 'noise.json'):
        (directory / name).unlink()
    for name in ('calibration_posterior', 'calibration_policies'):
        shutil.rmtree(directory / 'checkpoints' / name)
    shutil.rmtree(directory / 'policies')
    finish(start(f'--config={tiny}', f'--workdir={directory}', *CALIBRATED, '--config.finetune.algorithm=none'))
    for name in ('calibration.json', 'noise.json', 'results.jsonl'):
        assert (directory / name).read_bytes() == (run[0] / name).read_bytes(), name
    assert not (directory / 'checkpoints' / 'calibration_posterior').exists()
