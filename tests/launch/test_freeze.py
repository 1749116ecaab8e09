"""A frozen sweep: edits after its first start change nothing, and another sweep is refused."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from launch import freeze

FILES = {
    'postbc_jax/__init__.py': 'version = 1',
    'launch/__init__.py': '',
    'launch/which.py': 'import postbc_jax\nprint(postbc_jax.__file__, postbc_jax.version)',
    'experiments/mine.py': 'settings = 1',
    'setup.cfg': '[metadata]',
    'pyproject.toml': '',
    'tests/test_x.py': '',
    'launch/__pycache__/which.pyc': '',
}
POINTS = [{'seed': 0, 'policy.hidden': (8,)}, {'seed': 1, 'policy.hidden': (8, 8)}]


@pytest.fixture
def root(tmp_path):
    """A checkout without git."""
    for name, text in FILES.items():
        (tmp_path / 'checkout' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'checkout' / name).write_text(text)
    return tmp_path / 'checkout'


def git(root, *arguments):
    identity = '-c', 'user.name=n', '-c', 'user.email=e@localhost'
    return subprocess.run(['git', '-C', root, *identity, *arguments], check=True, capture_output=True, text=True).stdout


def asked(root, config='experiments/mine.py:arg', arguments=('--config.a=1',), stage='', points=POINTS):
    return freeze.describe(str(root / config), ['--workdir=x', *arguments], stage, points, root)


def copied(workdir):
    return {str(path.relative_to(workdir / 'code')) for path in (workdir / 'code').rglob('*') if path.is_file()}


def test_what_is_edited_later_changes_nothing(root, tmp_path):
    workdir = tmp_path / 'run'
    frozen = freeze.freeze(workdir, asked(root), root)
    assert copied(workdir) == FILES.keys() - {'tests/test_x.py', 'launch/__pycache__/which.pyc'}
    assert json.loads((workdir / 'sweep.json').read_text()) == {
        'config': f'{root}/experiments/mine.py:arg',
        'overrides': ['--config.a=1'],
        'stage': '',
        'points': [{'seed': 0, 'policy.hidden': [8]}, {'seed': 1, 'policy.hidden': [8, 8]}],
        'commit': None,
        'changed': False,
        'frozen': 'experiments/mine.py:arg',
    }
    (root / 'postbc_jax/__init__.py').write_text('version = 2')
    (root / 'experiments/mine.py').unlink()
    assert freeze.freeze(workdir, asked(root), root) == freeze.read(workdir) == frozen
    assert freeze.command(workdir, frozen) == [
        f'--config={workdir}/code/experiments/mine.py:arg',
        f'--workdir={workdir}',
        '--config.a=1',
    ]
    environment = os.environ | {'PYTHONPATH': f'{freeze.code(workdir)}:{root}', 'PYTHONSAFEPATH': '1'}
    command = [sys.executable, '-m', 'launch.which']
    said = subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True, text=True).stdout
    assert said == f'{workdir}/code/postbc_jax/__init__.py 1\n'


def test_the_commit_and_edits_to_it_are_kept(root, tmp_path):
    (root / '.gitignore').write_text('/experiments/data/\n')
    git(root, 'init', '--quiet')
    git(root, 'add', '--all')
    git(root, 'commit', '--quiet', '--message=first')
    (root / 'tests/test_x.py').write_text('no part of a run')
    clean = asked(root)
    assert (clean.commit, clean.changed) == (git(root, 'rev-parse', 'HEAD').strip(), False)
    (root / 'launch/which.py').write_text('edited')
    (root / 'launch/new.py').write_text('new')
    (root / 'experiments/data').mkdir()
    (root / 'experiments/data/demos.npz').write_text('ignored')
    frozen = freeze.freeze(tmp_path / 'run', asked(root), root)
    assert (frozen.commit, frozen.changed) == (clean.commit, True)
    assert (tmp_path / 'run/code/launch/which.py').read_text() == 'edited'
    assert {'launch/new.py'} <= copied(tmp_path / 'run') <= FILES.keys() | {'launch/new.py'}


def test_an_experiment_of_another_place_goes_in_too(root, tmp_path):
    (tmp_path / 'mine.py').write_text('settings = 2')
    frozen = freeze.freeze(tmp_path / 'run', asked(root, '../mine.py:arg'), root)
    assert frozen.frozen == 'given/mine.py:arg'
    assert (tmp_path / 'run/code/given/mine.py').read_text() == 'settings = 2'
    assert (tmp_path / 'run/code/experiments/mine.py').read_text() == 'settings = 1'


def test_another_stage_is_taken_over(root, tmp_path):
    freeze.freeze(tmp_path, asked(root, stage='pretrain'), root)
    assert freeze.freeze(tmp_path, asked(root, stage='finetune'), root).stage == 'finetune'
    assert freeze.read(tmp_path).stage == 'finetune'


@pytest.mark.parametrize(
    ('other', 'said'),
    [
        ({'arguments': ('--config.a=2',)}, 'other overrides: then --config.a=1, now --config.a=2: '),
        ({'arguments': ()}, 'other overrides: then --config.a=1, now none: '),
        ({'points': POINTS[:1]}, 'begun with 2 points, not 1: '),
        ({'points': [POINTS[0], {'seed': 2}]}, r"point 1 .* was {'seed': 1, .*}, and is now {'seed': 2}: "),
        ({'config': 'experiments/mine.py'}, 'begun with --config=.*/mine.py:arg, not .*/mine.py: '),
    ],
)
def test_another_sweep_is_refused(root, tmp_path, other, said):
    freeze.freeze(tmp_path / 'run', asked(root), root)
    before = (tmp_path / 'run/sweep.json').read_bytes()
    with pytest.raises(ValueError, match=f'^{tmp_path}/run/sweep.json: .*{said}use another --workdir'):
        freeze.freeze(tmp_path / 'run', asked(root, **other), root)
    assert (tmp_path / 'run/sweep.json').read_bytes() == before


def test_overrides_in_another_order_are_the_same(root, tmp_path):
    freeze.freeze(tmp_path, asked(root, arguments=('--config.a=1', '--config.b=2')), root)
    freeze.freeze(tmp_path, asked(root, arguments=('--config.b=2', '--config.a=1')), root)


def test_a_copy_that_was_cut_off_is_none(root, tmp_path, monkeypatch):
    workdir, copy = tmp_path / 'run', shutil.copyfile

    def full(source, target):
        if source.name == 'setup.cfg':
            raise OSError(28, 'No space left on device', str(target))
        return copy(source, target)

    monkeypatch.setattr(shutil, 'copyfile', full)
    with pytest.raises(ValueError, match='cannot be written .No space left on device'):
        freeze.freeze(workdir, asked(root), root)
    assert list(workdir.iterdir()) == [] and freeze.read(workdir) is None
    monkeypatch.undo()

    (workdir / 'code' / 'launch').mkdir(parents=True)  # as a start leaves it that ends before sweep.json
    (workdir / 'code' / 'launch' / 'old.py').touch()
    freeze.freeze(workdir, asked(root), root)
    assert 'launch/old.py' not in copied(workdir) and len(list(workdir.iterdir())) == 2
    freeze.forget(workdir)
    assert list(workdir.iterdir()) == []


@pytest.mark.parametrize('text', ['', '[]', '{"config": "x"}'])
def test_what_is_no_sweep_is_refused(tmp_path, text):
    (tmp_path / 'sweep.json').write_text(text)
    with pytest.raises(ValueError, match=f'^{tmp_path}/sweep.json: .*use another --workdir'):
        freeze.read(tmp_path)


def test_a_point_that_json_does_not_hold_is_refused(root):
    with pytest.raises(ValueError, match='mine.py:arg: a point of the sweep does not fit .*not JSON serializable'):
        asked(root, points=[{'a': {1}}])


def test_overrides_of_a_command_line(tmp_path):
    (tmp_path / 'flags').write_text('--config.f=1\n')
    given = ['launch', '--config=a.py', '--config.a=b c', '-config.b', '-0.5', '--config.c', 'x', '--noconfig.d']
    more = ['--config.e', '--workdir=config.x', f'--flagfile={tmp_path}/flags', '--config.g=']
    expected = ['--config.a=b c', '--config.b=-0.5', '--config.c=x', '--noconfig.d', '--config.e', '--config.f=1']
    assert freeze.overrides(given + more) == [*expected, '--config.g=']
    assert freeze.overrides([]) == []
