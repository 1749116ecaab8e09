"""A tiny run behind a guard, in two contexts, as a user starts it: what it prints, leaves, and hands to a robot."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from launch import alarms, export, guarding
from launch.demonstrations import path_of_run, subsets
from launch.workdir import read_config
from postbc_jax import checkpoint, data
from postbc_jax.data import windows
from postbc_jax.envelope.envelope import Envelope
from postbc_jax.finetune.dppo import ChainPolicy
from postbc_jax.finetune.steer import SteeredPolicy
from tests.launch.tiny_runs import SEEDS, finish, rows

CONTEXTS = "({'name': 'approach', 'key': 'position', 'below': 0.0, 'rate': 0.2, 'bound': 1.0},)"
GUARDED = (
    *('--config.guard.mode=project', '--config.guard.steps=100', '--config.guard.steps_per_chunk=100'),
    *('--config.calibration.folds=2', '--config.calibration.members=2', '--config.finetune.chunks=1'),
    *('--config.finetune.algorithm=dsrl_ppo,dppo', f'--config.contexts={CONTEXTS}', '--config.matched=False'),
    *('--config.dppo.iterations_per_chunk=1', '--config.dppo.environments=16', '--config.dppo.groups=2'),
    *('--config.dppo.denoising_steps=3', '--config.dppo.finetuned_steps=2', '--config.dppo.epochs=1'),
)


@pytest.fixture(scope='module')
def run(tiny, start, tmp_path_factory):
    """(work directory, stdout)."""
    directory = tmp_path_factory.mktemp('guarded')
    out, err = finish(start(f'--config={tiny}', f'--workdir={directory}', *GUARDED), seconds=1200)
    assert err == []
    return directory, out


def test_the_envelope_is_a_stage_before_the_evaluation(run):
    names = ['demonstrations', 'posterior', 'policies', 'envelope', 'evaluation', 'dsrl_ppo', 'dppo']
    notes = [line for line in run[1] if line.startswith('note: ')]
    assert notes[0].startswith('note: guard: 4 of 4 catch less than 99 % of random chunks, the loosest ')
    said = [line for line in run[1] if line not in notes][:7]
    lines = [re.match(r'\[(\d)/7\] (\w+): (.*)', line).groups() for line in said]
    assert [(int(place), name) for place, name, _ in lines] == list(enumerate(names, 1))
    assert re.match(r'project, 0\.05 of good decisions flagged; radius \d+\.\d\d', lines[3][2])


def test_policies_are_trained_as_without_it_and_saved_without_it(run, whole):
    (ours, labels), (theirs, others) = (checkpoint.load_policies(d / 'policies/pretrained') for d in (run[0], whole[0]))
    same = [others.index(label) for label in labels]  # which has matched arms too
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[np.array(same)], rtol=1e-4, atol=1e-5), ours, theirs)
    for name, kind in (('dsrl_ppo', SteeredPolicy), ('dppo', ChainPolicy)):
        checkpoint.load_policies(run[0] / 'policies' / name, kind)
        assert checkpoint.read_about(run[0] / 'policies' / name)[1]['guard']['mode'] == 'project'
    envelopes, seeds = checkpoint.load_policies(run[0] / 'policies' / 'envelope', Envelope)
    assert seeds == [{'seed': seed} for seed in range(SEEDS)] and envelopes.contexts.names == ('approach', 'routine')
    said = json.loads((run[0] / 'guard.json').read_text())
    assert [row['radius'] for row in said] == pytest.approx(envelopes.radius.ravel().tolist())


def test_every_row_says_what_the_guard_did(run):
    found = rows(run[0])
    assert {row['finetune'] for row in found} == {'none', 'dsrl_ppo', 'dppo'}
    for row in found:
        contexts = row['contexts']
        assert contexts['approach']['episodes'] == 16 >= contexts.get('routine', {'episodes': 0})['episodes']
        counts = [(one['decisions'], one['outside'], one['strange']) for one in contexts.values()]
        total = sum(n for n, *_ in counts)
        assert row['outside_share'] == pytest.approx(sum(n * outside for n, outside, _ in counts) / total)
        assert row['strange_share'] == pytest.approx(sum(n * strange for n, _, strange in counts) / total)
    assert max(row['outside_share'] for row in found) > 0
    learnt = [row for row in rows(run[0], 'metrics.jsonl') if row['stage'] in ('dsrl_ppo', 'dppo')]
    assert learnt and all(0 <= row['outside_share'] <= 1 and 0 <= row['strange_share'] <= 1 for row in learnt)


def test_a_robot_gets_the_guard_unless_it_is_left_out(run, tmp_path):
    folder = run[0] / 'policies' / 'dsrl_ppo'
    labels = checkpoint.load_policies(folder, SteeredPolicy)[1]
    last = len(labels) - 1
    line = export.write(str(folder), last, str(tmp_path / 'on'))
    assert line.endswith(', guarded (project)') and ': SteeredPolicy, ' in line
    export.write(str(folder), last, str(tmp_path / 'off'), 'none')
    about = json.loads((tmp_path / 'on' / 'policy.json').read_text())
    assert about['guard']['contexts'][0]['name'] == 'approach' and set(about['guard']['radius']) == {
        'approach',
        'routine',
    }
    assert 'guard' not in json.loads((tmp_path / 'off' / 'policy.json').read_text())
    policy = checkpoint.load_policy(folder, last, SteeredPolicy)
    stack = jax.tree.map(lambda x: np.asarray(x)[None], policy)
    behind = guarding.put_on(run[0] / 'policies', labels[last:], stack, 'project', '')
    behind = jax.tree.map(lambda x: x[0], behind)
    obs = np.array([[0.5, 3.0, 0.3, -0.4]], np.float32)  # far beyond every demonstrated height
    for name, one in (('on', behind), ('off', policy)):
        act = jax.export.deserialize((tmp_path / name / 'policy.stablehlo').read_bytes()).call
        expected = one(obs[0], jax.random.fold_in(jax.random.key(0), 0))[0]
        made = act(obs, np.uint32(0))
        chunks = made[0] if name == 'on' else made
        np.testing.assert_allclose(chunks[0], expected, rtol=1e-4, atol=1e-5)
    assert behind(100 * obs[0], jax.random.key(0))[1]['guard']['strange'] == 1


def test_how_often_the_guards_speak_is_measured_on_demonstrations_they_have_not_seen(run):
    folder = run[0]
    found = alarms.measure(folder)
    config = read_config(folder / 'config.json')
    demos = data.load(path_of_run(config, folder))
    stack, seeds = checkpoint.load_policies(folder / 'policies' / 'envelope', Envelope)
    rates = {'approach': 0.2, 'routine': 0.05}
    assert {row['seed'] for row in found} == {label['seed'] for label in seeds}
    for seed, mask in enumerate(subsets(config, demos)):
        envelope = jax.tree.map(lambda x, seed=seed: jnp.asarray(x[seed]), stack)
        steps = np.flatnonzero(mask == 0)
        obs, chunks = windows.windows(demos, envelope.guide.normaliser, envelope.guide.config.chunk).take(steps)
        inside = np.asarray(jax.vmap(envelope.inside)(obs, chunks))
        where = np.asarray(jax.vmap(envelope.context)(obs))
        for row in [row for row in found if row['seed'] == seed]:
            here = where == list(rates).index(row['context'])
            assert row['rate'] == rates[row['context']] and row['decisions'] == here.sum()
            assert row['demonstrations'] == len(np.unique(demos.episode[steps][here]))
            assert row['either'] == pytest.approx(1 - inside[here].mean())
            assert max(row['chunk'], row['state']) <= row['either'] <= row['chunk'] + row['state']
            assert 0 <= row['wild_caught'] <= 1
    line = alarms.make_alarms(str(folder))[0]
    assert line.startswith('approach, 20 % asked for, 2 seeds: ')
    assert json.loads((folder / 'alarms.json').read_text()) == found


def test_alarms_of_a_run_without_a_guard_or_of_learnt_demonstrations_are_refused(run, whole, tmp_path):
    with pytest.raises(ValueError, match='give the folder of a run with --config.guard.mode'):
        alarms.measure(whole[0])
    config = read_config(run[0] / 'config.json')
    demos = data.load(path_of_run(config, run[0]))
    learnt = subsets(config, demos)[0] == 1
    _, episode = np.unique(demos.episode[learnt], return_inverse=True)
    arrays = {name: getattr(demos, name)[learnt] for name in ('obs', 'actions', 'rewards', 'dones')}
    kept = [demos.names[e] for e in np.unique(demos.episode[learnt])]
    own = demos.replace(**arrays, episode=episode.astype(np.int32), names=tuple(kept), operators=('',) * len(kept))
    data.robomimic.save(str(tmp_path / 'learnt.hdf5'), own)
    with pytest.raises(ValueError, match='seed 0 has learnt from all of it: give --demos=FILE with others'):
        alarms.measure(run[0], str(tmp_path / 'learnt.hdf5'))


def test_each_mode_and_a_safe_policy_can_be_put_on(run):
    folder = run[0] / 'policies'
    stack, labels = checkpoint.load_policies(folder / 'pretrained')
    for mode, safe in (('mean', ''), ('safe', ''), ('project', str(folder / 'pretrained'))):
        behind = guarding.put_on(folder, labels, stack, mode, safe)
        assert behind.mode == mode and (behind.safe is None) == (mode == 'mean')
    behind = guarding.put_on(folder, labels, stack, 'safe', '')
    for index, label in enumerate(labels):
        bc = next(i for i, one in enumerate(labels) if one['pretrain'] == 'bc' and one['seed'] == label['seed'])
        for ours, theirs in zip(jax.tree.leaves(behind.safe.params), jax.tree.leaves(stack.params), strict=True):
            np.testing.assert_array_equal(ours[index], theirs[bc])
    with pytest.raises(ValueError, match='has no envelope of seed 7'):
        guarding.put_on(folder, [{'seed': 7}], jax.tree.map(lambda x: x[:1], stack), 'project', '')
    other = stack.replace(normaliser=stack.normaliser.replace(obs_low=stack.normaliser.obs_low - 1))
    with pytest.raises(ValueError, match=r'normaliser\.obs_low is not that of the policies'):
        guarding.put_on(folder, labels, other, 'project', '')


def test_policies_taken_elsewhere_take_their_envelope_along(run, tiny, start, tmp_path):
    given = [flag for flag in GUARDED if 'algorithm' not in flag]
    command = f'--config={tiny}', *given, '--config.finetune.algorithm=none', f'--config.init_from={run[0]}'
    out, _ = finish(start(*command, f'--workdir={tmp_path / "there"}'))
    assert re.match(r'\[2/4\] envelope: project', out[1])
    both = (tmp_path / 'there', run[0])
    (ours, _), (theirs, _) = (checkpoint.load_policies(d / 'policies/envelope', Envelope) for d in both)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    untouched = [row['outside_share'] for row in rows(run[0]) if row['finetune'] == 'none']
    assert [row['outside_share'] for row in rows(tmp_path / 'there')] == untouched
    _, err = finish(start(*command, '--config.guard.rate=0.2', f'--workdir={tmp_path / "other"}'), status=1)
    assert 'is of config.guard.rate=0.05' in err[-1]
