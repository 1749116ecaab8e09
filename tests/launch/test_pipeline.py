"""A tiny experiment end to end as a user starts it: what it prints and leaves, started again, killed and stopped."""

import json
import re
import shutil
import signal
import time

import jax
import numpy as np
import pytest

from postbc_jax import checkpoint
from postbc_jax.finetune.steer import SteeredPolicy
from tests.launch.tiny_runs import ARMS, CHUNKS, LEARNERS, assert_same, content, finish, rows


def test_every_line_that_a_run_prints(whole):
    directory, out, err = whole
    success = r'success BC \d\.\d\d, σ-BC matched to α=1 \d\.\d\d, PostBC α=1 \d\.\d\d'
    expected = [
        rf'\[1/5\] demonstrations: 6 episodes, 120 steps, by 1 operator; {re.escape(str(directory))}/demos\.hdf5',
        r'\[2/5\] posterior: 2 seeds x 2 members; std 0\.\d+ in action units',
        r'\[3/5\] policies: 3 arms x 2 seeds, one program, paired batches',
        rf'\[4/5\] evaluation: {success}',
        rf'\[5/5\] dsrl_ppo: {success}',
    ]
    assert len(out) == len(expected) + 1
    for line, pattern in zip(out, expected, strict=False):
        assert re.fullmatch(pattern + r' \(\d+ s\)', line), line
    assert out[-1] == f'report: {directory}/report.html'
    assert err == []


def test_results_hold_a_row_for_every_arm_seed_and_evaluation(whole):
    found = rows(whole[0])
    named = {'experiment', 'task', 'pretrain', 'alpha', 'sigma', 'finetune', 'seed', 'env_steps', 'success_rate'}
    assert all(named | {'episodes'} <= row.keys() for row in found)
    assert {(row['experiment'], row['task'], row['episodes']) for row in found} == {('tiny', 'gate', 16)}
    untouched = [row for row in found if row['finetune'] == 'none']
    curve = [row for row in found if row['finetune'] == 'dsrl_ppo']
    assert len(untouched) == LEARNERS and len(curve) == LEARNERS * (CHUNKS + 1) == len(found) - LEARNERS
    for before, first in zip(untouched, curve[:LEARNERS], strict=True):
        assert before['env_steps'] == first['env_steps'] == 0
        assert [before[k] for k in ('pretrain', 'seed', 'success_rate')] == [
            first[k] for k in ('pretrain', 'seed', 'success_rate')
        ]
    arms = [(row['pretrain'], row['alpha'], row['matched_alpha'], row['seed']) for row in untouched]
    assert sorted(arms[:ARMS]) == [('bc', 0, 0, 0), ('post_bc', 1, 0, 0), ('sigma_bc', 0, 1, 0)]
    steps = {row['chunk']: row['env_steps'] for row in curve}
    assert steps[0] == 0 < steps[1] < steps[2] < steps[3] <= CHUNKS * 16 * 20  # iterations x environments x horizon
    assert all(0 <= row['success_rate'] <= 1 for row in found)


def test_the_other_files(whole):
    directory = whole[0]
    coverage = rows(directory, 'coverage.jsonl')
    assert [row['n'] for row in coverage] == [1, 4] * LEARNERS
    assert all(row['starts'] == 4 and 0 <= row['pass_at_n'] <= 1 for row in coverage)
    scales = json.loads((directory / 'noise.json').read_text())
    assert len(scales) == LEARNERS
    for bc, matched, post in (scales[:ARMS], scales[ARMS:]):
        assert bc['rms'] == 0 < post['rms']
        assert matched['rms'] == pytest.approx(post['rms'], rel=1e-4)  # the fair comparison: one scale, another shape
        assert matched['sigma'] > 0 and len(post['rms_over_time']) and 0 <= post['clipped_share'] <= 1
        assert all(arm['rms_played'] > 0 for arm in (bc, matched, post))  # BC's is its network's error
    learnt = rows(directory, 'metrics.jsonl')
    assert [row['stage'] for row in learnt] == (
        ['posterior'] * 2 + ['pretrain'] * 40 * LEARNERS + ['dsrl_ppo'] * CHUNKS * LEARNERS
    )
    assert json.loads((directory / 'config.json').read_text())['posterior']['members'] == 2
    assert '<html' in (directory / 'report.html').read_text()[:500]
    assert {path.name for path in (directory / 'checkpoints').iterdir()} == {'posterior', 'pretrain', 'dsrl_ppo'}
    assert not list(directory.rglob('*.tmp'))


def test_a_finetuned_policy_is_loaded_and_called(whole):
    label = {'pretrain': 'post_bc', 'seed': 1}
    finetuned = checkpoint.load_policy(whole[0] / 'policies' / 'dsrl_ppo', label, SteeredPolicy)
    obs = np.array([-1.0, 0.2, 0.3, -0.4], np.float32)
    chunk, extras = finetuned(obs, jax.random.key(0))
    assert chunk.shape == (1, 1) and np.isfinite(chunk).all()
    assert np.abs(extras['noise']).max() <= 1.5
    pretrained = checkpoint.load_policy(whole[0] / 'policies' / 'pretrained', label)
    np.testing.assert_allclose(chunk, pretrained.decode(obs, extras['noise']), rtol=1e-6)


def test_a_finished_run_says_so_and_changes_nothing(whole, tiny, start):
    directory = whole[0]
    before = content(directory)
    out, err = finish(start(f'--config={tiny}', f'--workdir={directory}'))
    assert out == [f'{directory}: finished already, nothing to do', f'report: {directory}/report.html']
    assert err == []
    assert content(directory) == before


def test_a_finished_run_is_made_longer(whole, tiny, start, tmp_path):
    """What it had stays, bit for bit, and another row a learner comes."""
    directory = tmp_path / 'run'
    shutil.copytree(whole[0], directory)
    flags = f'--config.finetune.chunks={CHUNKS + 1}', '--config.save_every=30.0', '--config.tensorboard=True'
    out, err = finish(start(f'--config={tiny}', f'--workdir={directory}', *flags))
    assert out[0] == f'{directory}: begun before, goes on from its checkpoints' and err == []
    for name in ('results.jsonl', 'metrics.jsonl'):
        before, after = ((d / name).read_bytes() for d in (whole[0], directory))
        assert after.startswith(before) and after.count(b'\n') == before.count(b'\n') + LEARNERS
    assert (directory / 'coverage.jsonl').read_bytes() == (whole[0] / 'coverage.jsonl').read_bytes()
    assert (directory / 'done.json').exists()


def test_killed_in_pretraining_then_stopped_in_finetuning(whole, tiny, start, tmp_path):
    """Three starts end with the numbers of one, bit for bit, and the second's evaluation is not made again."""
    command = f'--config={tiny}', f'--workdir={tmp_path}'
    process = start(*command)
    wait_for(process, tmp_path / 'metrics.jsonl', '"pretrain", "chunk": 5,')
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / 'results.jsonl').exists()

    process = start(*command)
    wait_for(process, tmp_path / 'metrics.jsonl', '"dsrl_ppo", "chunk": 1,')
    process.send_signal(signal.SIGTERM)
    out, err = finish(process, status=75)
    assert out[0] == f'{tmp_path}: begun before, goes on from its checkpoints'
    assert len(err) == 1
    assert re.fullmatch(
        r'dsrl_ppo: stopped and saved after chunk [12] of 3; run the same command again to go on', err[0]
    )
    evaluated = (tmp_path / 'coverage.jsonl').stat().st_mtime_ns
    stopped = (tmp_path / 'results.jsonl').read_bytes()

    finish(start(*command))
    assert (tmp_path / 'coverage.jsonl').stat().st_mtime_ns == evaluated
    assert (tmp_path / 'results.jsonl').read_bytes().startswith(stopped)
    assert_same(tmp_path, whole[0])


def wait_for(process, path, text):
    limit = time.monotonic() + 300
    while not path.exists() or text not in path.read_text():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit, f'{path} never held {text}'
        time.sleep(0.01)
