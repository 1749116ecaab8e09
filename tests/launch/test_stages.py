"""--stage: pretraining, then finetuning, as one run does both; in the same directory, and in another by init_from."""

import json
import re
import shutil

import jax
import numpy as np
import pytest

from postbc_jax import checkpoint
from tests.launch.tiny_runs import LEARNERS, content, finish, rows


@pytest.fixture(scope='module')
def pretrained(tiny, start, tmp_path_factory):
    """(work directory, stdout) of launch.run --stage=pretrain."""
    directory = tmp_path_factory.mktemp('stages')
    out, err = finish(start(f'--config={tiny}', f'--workdir={directory}', '--stage=pretrain', module='launch.run'))
    assert err == []
    return directory, out


def same(one, other, names):
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_pretraining_alone_stops_before_finetuning(pretrained, whole):
    directory, out = pretrained
    assert [line.split(':')[0] for line in out] == [
        '[1/4] demonstrations',
        '[2/4] posterior',
        '[3/4] policies',
        '[4/4] evaluation',
    ]
    same(directory, whole[0], ('coverage.jsonl', 'noise.json'))
    assert len(rows(directory)) == LEARNERS and not (directory / 'checkpoints' / 'dsrl_ppo').exists()
    assert json.loads((directory / 'done.json').read_text()) == {'stage': 'pretrain'}


@pytest.mark.parametrize('stage', ['finetune', ''])
def test_either_way_on_ends_with_the_numbers_of_one_run(stage, pretrained, whole, tiny, start, tmp_path):
    directory = tmp_path / 'run'
    shutil.copytree(pretrained[0], directory)
    command = f'--config={tiny}', f'--workdir={directory}'
    if stage:
        out, _ = finish(start(*command, '--stage=pretrain'))  # nothing is left of it to do
        assert out[0] == f'{directory}: finished already, nothing to do'
    out, err = finish(start(*command, f'--stage={stage}'))
    assert err == []
    expected = ['policies', 'evaluation', 'dsrl_ppo'] if stage else ['demonstrations', 'posterior']
    assert [re.match(r'\[./.\] (\w+)', line)[1] for line in out[1 : 1 + len(expected)]] == expected
    same(directory, whole[0], ('results.jsonl', 'metrics.jsonl', 'coverage.jsonl', 'noise.json'))
    out, _ = finish(start(*command))
    assert out[0] == f'{directory}: finished already, nothing to do'


def test_policies_are_finetuned_in_a_directory_of_their_own(whole, tiny, start, tmp_path):
    """As on another machine: of the earlier run there is its policies/ and noise.json. The environment is the same, so
    the numbers are too."""
    there, here = tmp_path / 'there', tmp_path / 'here'
    shutil.copytree(whole[0] / 'policies', there / 'policies')
    shutil.copy(whole[0] / 'noise.json', there)
    (there / 'calibration.json').write_text('[]')
    command = f'--config={tiny}', f'--workdir={here}', '--stage=finetune', f'--config.init_from={there}'
    out, err = finish(start(*command, '--config.demos=none.hdf5'))
    assert err == []
    assert re.fullmatch(rf'\[1/3\] policies: 6 pretrained in gate; {there}/policies/pretrained \(\d+ s\)', out[0])
    same(here, whole[0], ('results.jsonl', 'coverage.jsonl', 'noise.json'))
    assert {row['stage'] for row in rows(here, 'metrics.jsonl')} == {'dsrl_ppo'}
    (ours, mine), (theirs, others) = (checkpoint.load_policies(d / 'policies/pretrained') for d in (here, whole[0]))
    assert mine == others
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert 'What is missing' not in (here / 'report.html').read_text()
    assert json.loads((here / 'calibration.json').read_text()) == []

    shutil.rmtree(there)  # it has all of its own
    before = content(here / 'policies' / 'pretrained')
    out, err = finish(start(*command, '--config.demos=none.hdf5', '--config.finetune.chunks=4'))
    assert out[0] == f'{here}: begun before, goes on from its checkpoints' and err == []
    assert len(rows(here)) == LEARNERS * 6 and content(here / 'policies' / 'pretrained') == before


def test_without_noise_json_the_report_says_so(whole, tiny, start, tmp_path):
    here = tmp_path / 'here'
    shutil.copytree(whole[0] / 'policies' / 'pretrained', tmp_path / 'policies')
    command = f'--config={tiny}', f'--workdir={here}', f'--config.init_from={tmp_path}/policies'
    finish(start(*command, '--stage=finetune', '--config.finetune.algorithm=none'))
    assert 'noise.json: missing' in (here / 'report.html').read_text()
    assert len(rows(here)) == LEARNERS and json.loads((here / 'done.json').read_text()) == {'stage': 'finetune'}
