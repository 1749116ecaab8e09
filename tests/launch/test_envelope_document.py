"""launch.envelope on a tiny run: what the document says against the demonstrations themselves, and what it refuses."""

import json
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from launch import envelopes
from launch.demonstrations import subsets
from launch.envelope import flagged, make_envelope, one_source, reliable, subject, told
from launch.point import Point
from launch.progress import Progress
from launch.report import figures
from postbc_jax import checkpoint, data, loop
from postbc_jax.data import bootstrap, npz, robomimic
from postbc_jax.envelope import regions
from tests.launch.test_report_page import Page
from tests.launch.tiny_runs import ROOT, environment

KEYS = {'regions', 'dimensions', 'ranges', 'between_operator', 'within_operator', 'unknown', 'reliability', 'verdict'}
KEYS |= {'suspect_demos', 'record_next', 'guard'}


@pytest.fixture(scope='module')
def run(whole, tmp_path_factory):
    """A copy of the tiny run with fewer steps to fit again, and its 6 demonstrations with errors and 2 more."""
    directory = tmp_path_factory.mktemp('described') / 'run'
    directory.mkdir()
    shutil.copytree(whole[0] / 'policies', directory / 'policies')
    config = json.loads((whole[0] / 'config.json').read_text())
    config['pretrain'] |= {'steps': 20, 'warmup': 5}
    config['calibration'] |= {'folds': 2, 'members': 2}
    config['guard'] |= {'steps': 20, 'steps_per_chunk': 10, 'batch_size': 16}
    config['contexts'] = [{'name': 'gate', 'column': 0, 'above': -0.3, 'below': 0.1, 'rate': 0.2}]
    (directory / 'config.json').write_text(json.dumps(config))
    shutil.copy(whole[0] / 'demos.hdf5', directory / 'demos.hdf5')
    return directory


def erring(run):
    """The run's demonstrations, the first once more, and another of which the end is missing."""
    demos = data.load(str(run / 'demos.hdf5'))
    first = np.flatnonzero(demos.episode == 0)
    cut = np.flatnonzero(demos.episode == 1)[:-6]
    rows = np.concatenate([np.arange(len(demos.obs)), first, cut])
    episode = np.concatenate([demos.episode, np.full(len(first), 6), np.full(len(cut), 7)]).astype(np.int32)
    names, operators = (*demos.names, 'demo_6', 'demo_7'), (*demos.operators, *demos.operators[:2])
    arrays = {name: getattr(demos, name)[rows] for name in ('obs', 'actions', 'rewards', 'dones')}
    return demos.replace(**arrays, episode=episode, names=names, operators=operators)


@pytest.fixture(scope='module')
def document(run):
    """(directory, envelope.json, the demonstrations): made after a first try was stopped."""
    directory, file = run.parent / 'document', str(run.parent / 'erring.hdf5')
    robomimic.save(file, erring(run))
    given = (str(run / 'policies' / 'pretrained'), file, str(directory))
    with pytest.raises(loop.Preempted):
        make_envelope(*given, regions=3, stop=lambda: True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reliable, 'FEWEST', 2)
        assert make_envelope(*given, regions=3) == [f'envelope: {directory}/envelope.html']
    return directory, json.loads((directory / 'envelope.json').read_text()), data.load(file)


def test_the_numbers_are_those_of_the_demonstrations(document):
    _, found, demos = document
    assert found.keys() >= KEYS and found['dimensions'] == ['action 0']
    assert found['demos']['demonstrations'] == 8 and found['demos']['steps'] == len(demos.obs)
    assert sum(region['steps'] for region in found['regions']) == len(demos.obs)
    count = len(found['regions'])
    for name in ('state', 'within_operator', 'unknown', 'ranges'):
        assert np.shape(found[name])[:2] == (count, 1)
    middles = [region['when'][1] for region in found['regions']]
    assert middles[0] <= middles[-1] and all(0 <= share <= 1 for share in middles)
    many = len(set(demos.operators) - {''}) > 1
    assert 0.1 < found['spread_over_error'] < 10
    assert (found['between_operator'] is None) != many and bool(found['between_operator_reason']) != many
    low, high = found['ranges'][0][0]['low'], found['ranges'][0][0]['high']
    assert demos.actions.min() <= low < high <= demos.actions.max()


def test_a_copy_and_a_failure_are_among_the_suspects(document):
    _, found, _ = document
    said = {row['demo']: {reason['measure'] for reason in row['reasons']} for row in found['suspect_demos']}
    assert 'twin' in said['demo_6'] and 'success' in said['demo_7'] and 'twin' not in said.get('demo_0', set())


def test_record_next_begins_where_demonstrations_began_and_each_pick_leaves_less(document):
    _, found, demos = document
    starts = demos.obs[np.searchsorted(demos.episode, np.arange(8))]
    left = [1.0, *(pick['left'] for pick in found['record_next'])]
    for pick, before, after in zip(found['record_next'], left[:-1], left[1:], strict=True):
        np.testing.assert_allclose(pick['start'], starts[demos.names.index(pick['like'])], rtol=1e-6)
        assert after == pytest.approx(before * (1 - pick['gain'])) and 0 < pick['gain'] < 1
    assert 1 <= found['diversity']['score'] <= 7 + 1e-6  # two of eight are the same


def test_the_verdict_is_of_demonstrations_that_were_not_learnt_from(run, document):
    _, found, demos = document
    config = ConfigDict(json.loads((run / 'config.json').read_text()))
    mask = subsets(config, data.load(str(run / 'demos.hdf5')))[found['policy']['label']['seed']]
    learnt = {name for name in demos.names[:6] if mask[demos.episode[: len(mask)] == demos.names.index(name)].all()}
    copied = 'demo_0' in learnt  # its copy is as well known as itself
    assert found['demos']['learnt_from'] == 4 + copied
    curves = found['reliability']
    assert curves['how'] == 'unseen' and curves['demonstrations'] == 8 - 4 - copied
    assert found['verdict']['whole'] == curves['whole']['verdict']
    assert list(found['verdict']['regions']) == [region['name'] for region in found['regions']]


def test_the_guards_contexts_and_what_it_flags(document):
    _, found, demos = document
    gate, rest = found['guard']['contexts']
    assert (gate['context'], gate['entry'], gate['above'], gate['rate']) == ('gate', 'position[0]', -0.3, 0.2)
    assert (rest['context'], rest['entry'], rest['rate']) == ('routine', None, 0.05)
    inside = (demos.obs[:, 0] >= -0.3) & (demos.obs[:, 0] < 0.1)
    assert found['guard']['of'] == 'these demonstrations' and gate['without_suspects'] is not None
    assert gate['ranges'][0]['high'] == pytest.approx(np.quantile(demos.actions[inside], 0.95))
    assert gate['decisions'] == inside.sum() and rest['decisions'] == (~inside).sum()
    chunk, state = (np.array(found['guard']['demonstrators'][test]) for test in ('chunk', 'state'))
    assert found['guard']['flagged']['either'] == pytest.approx(((chunk > 1) | (state > 1)).mean())
    assert gate['flagged'] <= 0.2 + 2 / gate['decisions'] and rest['flagged'] <= 0.05 + 2 / rest['decisions']


def test_the_page_is_whole_and_needs_nothing_outside(document):
    directory, found, _ = document
    text = (directory / 'envelope.html').read_text()
    page = Page(text)
    assert page.open == [] and page.outside == [] and 'script' not in page.tags
    assert set(re.findall(r'var\((--[\w-]+)\)', text)) <= set(figures.COLOURS)
    assert not re.search(r'#[0-9a-f]{6}', text.split('</style>', 1)[1]), 'a colour that would not follow the mode'
    for row in found['suspect_demos']:
        assert all(reason['sentence'] in text for reason in row['reasons'])
    for heading in ('demonstrations cover', 'expected in each region', 'the guard will do', 'record next', 'Limits'):
        assert re.search(f'<h2>[^<]*{heading}', text)
    pictures = {path.stem for path in (directory / 'figures').glob('*.png')}
    assert {'when', 'why', 'reliability', 'guard_chunk', 'suspects', 'starts', 'range_A'} <= pictures


def test_without_unseen_demonstrations_policies_are_trained_without_some(run, document, monkeypatch):
    directory, before, _ = document
    monkeypatch.setattr(reliable, 'FEWEST', 9)
    make_envelope(str(run / 'policies' / 'pretrained'), str(run.parent / 'erring.hdf5'), str(directory), regions=3)
    found = json.loads((directory / 'envelope.json').read_text())
    assert found['reliability']['how'] == 'left out' and found['reliability']['demonstrations'] == 8
    same = KEYS - {'reliability', 'verdict'}  # all else comes from the checkpoints, to the same bits
    assert {name: found[name] for name in same} == {name: before[name] for name in same}


def test_what_a_policy_has_learnt_from_is_found_whatever_the_file_is_called(run, tmp_path):
    demos = data.load(str(run / 'demos.hdf5'))
    config = ConfigDict(json.loads((run / 'config.json').read_text()))
    order = np.arange(5, -1, -1)  # other names for the same
    rows = np.concatenate([np.flatnonzero(demos.episode == e) for e in order])
    lengths = [np.sum(demos.episode == e) for e in order]
    arrays = {name: getattr(demos, name)[rows] for name in ('obs', 'actions', 'rewards', 'dones')}
    other = demos.replace(**arrays, episode=np.repeat(np.arange(6, dtype=np.int32), lengths))
    robomimic.save(str(tmp_path / 'other.hdf5'), other)
    for learner, seed in ((2, 0), (5, 1)):
        found = subject.read(run / 'policies' / 'pretrained', str(tmp_path / 'other.hdf5'), learner)
        assert found.label['seed'] == seed and found.label['pretrain'] == 'post_bc'
        mask = subsets(config, demos)[seed]
        np.testing.assert_array_equal(found.learnt, [mask[demos.episode == e].all() for e in order])


def test_members_are_asked_about_what_they_have_not_seen(run, document):
    found = subject.read(run / 'policies' / 'pretrained', str(run.parent / 'erring.hdf5'), None)
    point = Point(one_source(found), document[0], found.sizes, Progress(1), lambda: False)
    answer = told.tell(point, found.learning)  # from the document's checkpoint
    episode = found.learning.windows.episode
    keys = [jax.random.fold_in(point.key('posterior'), member) for member in range(told.FEWEST)]
    ones = np.ones(len(episode))
    drawn = [bootstrap.trajectories(jax.random.fold_in(key, 0), episode, ones, 8) for key in keys]
    unseen = np.array(drawn) == 0
    for demo in range(8):
        mine = unseen[:, episode == demo]
        expected = mine if mine[:, 0].sum() >= 2 else np.ones_like(mine)
        np.testing.assert_array_equal(answer.members[:, episode == demo], expected)
    operators = np.array(found.learning.demos.operators)[episode]
    assert answer.operators == tuple(sorted(set(operators))) and answer.mean.shape[1] == len(answer.operators)
    np.testing.assert_array_equal(np.array(answer.operators)[answer.own().argmax(axis=1)], operators)
    assert np.all(answer.own() + answer.others() == 1)


def test_a_runs_own_guard_is_asked_where_it_has_one(run, document, monkeypatch, tmp_path):
    monkeypatch.setattr(flagged, 'FEWEST', 2)
    own = tmp_path / 'run'
    shutil.copytree(run, own)
    found = subject.read(own / 'policies' / 'pretrained', str(run.parent / 'erring.hdf5'), None)
    point = Point(one_source(found), document[0], found.sizes, Progress(1), lambda: False)
    fitted = envelopes.fit(point, found.learning)  # from the document's checkpoints
    checkpoint.save_policy(own / 'policies' / 'envelope', fitted.envelopes, [{'seed': 0}])
    (own / 'guard.json').write_text(json.dumps(envelopes.rows(fitted, 0.05)))
    answer = flagged.flag(point, found)
    unseen = ~found.learnt[found.learning.windows.episode]
    assert answer.own and len(answer.chunk) == unseen.sum()
    envelope = jax.tree.map(lambda x: x[0], fitted.envelopes)
    obs, chunk = (x[0] for x in found.learning.windows.take(answer.steps[:1]))
    index = int(envelope.context(obs))
    assert answer.chunk[0] == pytest.approx(float(envelope.distance(obs, chunk)) / envelope.radius[index], rel=1e-5)
    assert answer.state[0] == pytest.approx(float(envelope.strangeness(obs)) / envelope.familiar[index], rel=1e-5)


def test_a_finetuned_policy_that_plays_one_chunk_has_no_range(run, document, monkeypatch):
    monkeypatch.setattr(reliable, 'FEWEST', 2)
    found = subject.read(run / 'policies' / 'dsrl_ppo', str(run.parent / 'erring.hdf5'), None)
    assert found.name == 'PostBC α=1, seed 0, finetuned by dsrl_ppo' and found.base is found.policy.policy
    windows = found.learning.windows
    point = Point(found.config, document[0], found.sizes, None, None)
    answer = reliable.rely(point, found, regions.by_states(windows.obs, windows.episode, 2))
    assert answer.whole is None and 'plays one chunk at a state' in answer.why


def test_refusals(run, document, tmp_path):
    directory, policies, file = document[0], run / 'policies' / 'pretrained', str(run.parent / 'erring.hdf5')
    lost = tmp_path / 'lost' / 'policies' / 'pretrained'
    shutil.copytree(policies, lost)
    other, demos = str(tmp_path / 'other.npz'), erring(run)
    npz.save(other, demos.replace(actions=np.repeat(demos.actions, 2, axis=1)))
    for given, more, says in (
        ((lost, file, tmp_path / 'a'), {}, 'lost/config.json: missing: it says how the policies'),
        ((policies, file, tmp_path / 'a'), {'learner': 9}, '--learner=9: .* holds 6 policies'),
        ((policies, file, tmp_path / 'a'), {'regions': 0}, '--regions=0: give 1 to 12'),
        ((policies, file, tmp_path / 'a'), {'names': ('x', 'y')}, '--action_names=x,y: the policy plays 1'),
        ((policies, file, run), {}, 'holds a run: give the document a directory of its own'),
        ((policies, file, directory), {'learner': 0}, 'holds the document of another learner'),
        ((policies, other, tmp_path / 'a'), {}, 'other.npz: every demo: actions: dimension 2'),
        ((policies, str(run / 'demos.hdf5'), tmp_path / 'a'), {'before': file}, '1 of its 8 demonstrations are not in'),
    ):
        with pytest.raises(ValueError, match=says):
            make_envelope(*map(str, given), **more)
    assert not (tmp_path / 'a').exists()


def test_the_command_refuses_in_one_line(tmp_path):
    command = [sys.executable, '-m', 'launch.envelope', f'--policy={tmp_path}', '--demos=x', f'--workdir={tmp_path}/a']
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == f'error: {tmp_path}: holds no policies\n'
