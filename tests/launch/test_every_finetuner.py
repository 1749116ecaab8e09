"""Every finetuner in one run, with fitted critics and demonstrations in the batches: what it leaves."""

import json

import jax
import numpy as np
import pytest

from launch.kinds import KINDS
from launch.report import make_report
from postbc_jax import checkpoint
from postbc_jax.envelope.monitor_config import STATES
from tests.launch.tiny_runs import finish, rows

ALL = """
from experiments import default


def get_config(arg):
    config = default.get_config()
    config.experiment = 'every'
    config.seeds = 1
    config.record.episodes = 6
    config.subset = 4
    config.matched = False
    config.posterior.update(members=2, hidden=(8,), steps=10, steps_per_chunk=10, batch_size=16)
    config.policy.update(hidden=(16,), inference_steps=2)
    config.pretrain.update(steps=20, steps_per_chunk=10, batch_size=16, warmup=5)
    config.finetune.algorithm = 'dsrl_ppo,dsrl_sac,dsrl_na,dppo,best_of_n'
    if arg == 'gaussian':
        config.policy.family = 'gaussian'
        config.finetune.algorithm = 'ppo'
        config.value_dice.update(steps=4, steps_per_chunk=2, batch_size=8, hidden=(8,))
        config.monitor.update(on=True, envelope=False, episodes=8, states=8, draws=2)
        config.curriculum.update(on=True, success=0.9, pool=8)
        config.scenarios.update(every=2, episodes=4, gains=(1.0,), biases=(0.0,), noises=(0.0, 0.1), delays=(0, 1))
    config.finetune.chunks = 2
    for name in ('dsrl_ppo', 'dppo', 'ppo'):
        config[name].update(iterations_per_chunk=1, environments=16, groups=2, minibatches=2, epochs=1, hidden=(8,))
    config.dppo.update(denoising_steps=3, finetuned_steps=2)
    for name in ('dsrl_sac', 'dsrl_na'):
        config[name].update(decisions_per_chunk=16, environments=4, warmup_decisions=32, replay=256)
        config[name].update(updates_per_step=1, batch_size=8, hidden=(8,), offline_share=0.5)
    config.dsrl_na.noise_critic_steps = 1
    config.best_of_n.update(steps_per_chunk=5, episodes=16, episodes_per_chunk=8, hidden=(8,), batch_size=8)
    config.best_of_n.numbers = (1, 4)
    config.warm_start.update(steps=10, steps_per_chunk=5, episodes=16, episodes_per_chunk=8, batch_size=8)
    config.evaluate.update(episodes=16, coverage_starts=4, coverage_rollouts=4)
    return config
"""
ALGORITHMS = {'': ('dsrl_ppo', 'dsrl_sac', 'dsrl_na', 'dppo', 'best_of_n'), 'gaussian': ('ppo',)}
MADE = {'dsrl_ppo': 'SteeredPolicy', 'dsrl_sac': 'SteeredPolicy', 'dsrl_na': 'SteeredPolicy'}
MADE |= {'dppo': 'ChainPolicy', 'ppo': 'ChainPolicy', 'best_of_n': 'BestOfNPolicy'}
ARMS = {'': ('bc', 'post_bc'), 'gaussian': ('bc', 'post_bc', 'value_dice')}
OWN_EPISODES = 16 * 10  # env steps of the warm start: episodes of gate, all of them 10 steps long


@pytest.fixture(scope='module', params=ALGORITHMS)
def run(request, start, tmp_path_factory):
    """(arg, directory, stdout)."""
    directory = tmp_path_factory.mktemp('every')
    (directory / 'every.py').write_text(ALL)
    command = f'--config={directory / "every.py"}:{request.param}', f'--workdir={directory / "run"}'
    out, err = finish(start(*command))
    assert err == []
    return request.param, directory / 'run', out, command


def test_each_leaves_its_curve_from_the_same_policies(run):
    arg, directory, _, _ = run
    untouched = [row['success_rate'] for row in rows(directory) if row['finetune'] == 'none']
    assert len(untouched) == len(ARMS[arg])
    for name in ALGORITHMS[arg]:
        curve = [row for row in rows(directory) if row['finetune'] == name]
        assert [(row['pretrain'], row['chunk']) for row in curve] == [
            (arm, chunk) for chunk in range(3) for arm in ARMS[arg]
        ]
        if name not in ('dppo', 'ppo'):  # which begin with the same policies, played in their way
            assert [row['success_rate'] for row in curve[: len(untouched)]] == untouched
        steps = [row['env_steps'] for row in curve if row['pretrain'] == 'bc']
        assert steps[0] == 0 < steps[1] and (steps[1] < steps[2] or name == 'best_of_n')
        if name != 'best_of_n':
            learnt = [row for row in rows(directory, 'metrics.jsonl') if row['stage'] == name]
            assert steps[1] == learnt[0]['env_steps'] + OWN_EPISODES  # what the critics were fitted to is paid for


def test_each_hands_on_a_policy_that_acts(run):
    arg, directory, _, _ = run
    for name in ALGORITHMS[arg]:
        policy = checkpoint.load_policy(directory / 'policies' / name, {'pretrain': ARMS[arg][-1]}, KINDS[MADE[name]])
        chunk, _ = policy(np.array([-1.0, 0.2, 0.3, -0.4], np.float32), jax.random.key(0))
        assert chunk.shape == (1, 1) and np.isfinite(chunk).all()


def test_value_dice_is_trained_beside_the_others(run):
    """From its seed's first parameters; its row of noise.json has no noise but what its policy plays."""
    arg, directory, _, _ = run
    noise = {row['pretrain']: row for row in json.loads((directory / 'noise.json').read_text())}
    assert tuple(noise) == ARMS[arg]
    if 'value_dice' in noise:
        row = noise['value_dice']
        assert row['rms'] == row['alpha'] == row['sigma'] == 0 < row['rms_played']
        learnt = [row for row in rows(directory, 'metrics.jsonl') if row['stage'] == 'value_dice']
        assert [(row['pretrain'], row['chunk'], row['step']) for row in learnt] == [
            ('value_dice', i, 2 * i) for i in (1, 2)
        ]


def test_candidates_are_swept_on_the_same_episodes(run):
    arg, directory, _, _ = run
    if 'best_of_n' not in ALGORITHMS[arg]:
        assert not (directory / 'candidates.jsonl').exists()
        return
    found = rows(directory, 'candidates.jsonl')
    assert [(row['pretrain'], row['n']) for row in found] == [('bc', 1), ('bc', 4), ('post_bc', 1), ('post_bc', 4)]
    untouched = {row['pretrain']: row['success_rate'] for row in rows(directory) if row['finetune'] == 'none'}
    assert all(row['success_rate'] == untouched[row['pretrain']] for row in found if row['n'] == 1)


def test_the_report_has_a_section_for_each_and_nothing_is_missing(run):
    arg, directory, out, _ = run
    page = make_report(directory).read_text()
    assert 'What is missing' not in page
    assert all(name in page for name in ALGORITHMS[arg])
    stages = [line.split(':')[0].split('] ')[1] for line in out if line.startswith('[')]
    assert stages == ['demonstrations', 'posterior', 'policies', 'evaluation', *ALGORITHMS[arg]]


def test_what_was_watched(run):
    arg, directory, _, _ = run
    files = ('monitor.jsonl', 'curriculum.jsonl', 'scenarios.jsonl')
    if arg != 'gaussian':
        assert not any((directory / name).exists() for name in files)
        return
    watched, staged, scenarios = (rows(directory, name) for name in files)
    label = [(row['pretrain'], row['chunk'], row['env_steps']) for row in rows(directory) if row['finetune'] == 'ppo']
    assert [(row['pretrain'], row['chunk'], row['env_steps']) for row in watched] == label
    assert {row['state'] for row in watched} <= set(STATES)
    assert all(row['outside'] is None and row['spread'] > 0 and row['did'] == [] for row in watched)
    assert [(row['pretrain'], row['chunk'], row['env_steps']) for row in staged] == label
    assert {row['starts'] for row in staged} == {0.25}
    assert [row['chunk'] for row in scenarios] == [0] * 4 * len(ARMS[arg]) + [2] * 4 * len(ARMS[arg])


def test_started_again_it_changes_nothing(run, start):
    _, directory, _, command = run

    def written():
        files = (path for path in directory.glob('*.json*') if path.name != 'status.json')  # which says when
        return {path.name: path.read_bytes() for path in files}

    before = written()
    (directory / 'done.json').unlink()  # as if it had been killed at the very end
    finish(start(*command))
    assert written() == before
