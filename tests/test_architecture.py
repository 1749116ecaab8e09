"""The house rules of DESIGN.md, read from the source itself: floors, who may import what, and what nobody does."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
FLOORS = {
    **dict.fromkeys(('types', 'atomic', 'cores', 'simulators', 'sweep'), 1),
    **dict.fromkeys(('parallel', 'networks', 'losses', 'data', 'stats', 'metrics'), 2),
    **dict.fromkeys(('posterior', 'policies', 'envs'), 3),
    **dict.fromkeys(('pretrain', 'value_dice', 'finetune', 'evaluate', 'checkpoint', 'export', 'envelope'), 4),
    'loop': 5,
    'launch': 6,
}
LONGEST = 300
SOURCES = sorted(
    path for folder in ('postbc_jax', 'launch', 'experiments', 'benchmarks') for path in ROOT.glob(f'{folder}/**/*.py')
)
TESTS = sorted(ROOT.glob('tests/**/*.py'))


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def imports(tree):
    """(line, dotted name) of everything imported, at the top or inside a function; `from a import b` is a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = '.' * node.level + (node.module or '')
            yield from ((node.lineno, f'{module}.{alias.name}') for alias in node.names)


def room(name):
    """The room of a file ('postbc_jax/data/npz.py') or of an import ('postbc_jax.data.npz'): 'data'. None: not ours."""
    parts = name.removesuffix('.py').replace('/', '.').split('.')
    if parts[0] == 'launch':
        return 'launch'
    return parts[1] if parts[0] == 'postbc_jax' and len(parts) > 1 else None


def import_problems(name, tree):
    """What a file imports and must not."""
    mine, library = room(name), name.startswith('postbc_jax/')
    for line, imported in imports(tree):
        theirs, top = room(imported), imported.split('.')[0]
        place = f'{name}:{line}: imports {imported}'
        if imported.startswith('.'):
            yield f'{place}: imports are absolute'
        if library and top in ('experiments', 'benchmarks', 'tests'):
            yield f'{place}: the library stands below it'
        if library and top in ('absl', 'argparse', 'logging', 'tqdm', 'matplotlib', 'ml_collections'):
            yield f'{place}: the library is pure functions'
        if library and theirs and theirs not in FLOORS:
            yield f'{place}: it has no floor'
        elif library and theirs and theirs != mine and FLOORS[theirs] >= FLOORS.get(mine, 0):
            yield f'{place}: floor {FLOORS[theirs]} from floor {FLOORS.get(mine)}'
        if imported.startswith('flax.linen') and mine != 'networks':
            yield f'{place}: Linen is for networks/ alone'
        if top in ('pickle', 'cloudpickle', 'dill', 'joblib', 'marshal', 'shelve') or imported == 'brax.io.model':
            yield f'{place}: nothing is pickled'
        plain = top in ('ml_collections', 'experiments') or theirs == 'sweep'
        if name.startswith('experiments/') and not plain:
            yield f'{place}: an experiment is a config'


def call_problems(name, tree):
    """What a file calls or states and must not."""
    library = name.startswith('postbc_jax/')
    for node in ast.walk(tree):
        place = f'{name}:{getattr(node, "lineno", 0)}'
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ('eval', 'exec', '__import__'):
                yield f'{place}: calls {node.func.id}'
            if node.func.id == 'print' and library:
                yield f'{place}: the library never prints'
        if isinstance(node, ast.keyword) and node.arg == 'allow_pickle' and getattr(node.value, 'value', True):
            yield f'{place}: nothing is pickled'
        if library and isinstance(node, ast.Assert):
            yield f'{place}: bad input is a ValueError, not an assert'
        if library and isinstance(node, ast.Global):
            yield f'{place}: no global state'
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == 'jax':
            if node.attr == 'pmap':
                yield f'{place}: jax.pmap is in maintenance mode; use parallel.pmap'
            if library and name != 'postbc_jax/parallel.py' and node.attr.endswith(('devices', 'device_count')):
                yield f'{place}: only parallel knows about devices'


def file_problems(name, text, tree):
    """What a file is and must not be."""
    lines, stem = text.count('\n'), pathlib.PurePath(name).stem
    if lines > LONGEST:
        yield f'{name}: has {lines} lines, more than {LONGEST}'
    if stem in ('utils', 'util', 'helpers', 'helper', 'common', 'misc'):
        yield f'{name}: name it for what it holds'
    if text.strip() and not name.startswith('tests/') and not ast.get_docstring(tree):
        yield f'{name}: does not open by saying what it is'


def problems(name, text):
    tree = ast.parse(text)
    return [*import_problems(name, tree), *call_problems(name, tree), *file_problems(name, text, tree)]


@pytest.mark.parametrize('path', SOURCES, ids=name_of)
def test_a_source_keeps_the_rules(path):
    assert problems(name_of(path), path.read_text()) == []


def test_every_room_has_a_floor_and_every_floor_a_room():
    found = {path.stem for path in (ROOT / 'postbc_jax').iterdir() if not path.name.startswith('__')}
    assert found | {'launch'} == set(FLOORS)


@pytest.mark.parametrize('path', TESTS, ids=name_of)
def test_a_test_file_keeps_the_rules(path):
    text = path.read_text()
    assert list(file_problems(name_of(path), text, ast.parse(text))) == []
    assert path.name != '__init__.py'


def test_test_files_have_names_of_their_own():
    names = [path.name for path in TESTS if path.name != 'conftest.py']
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ('name', 'line', 'problem'),
    [
        ('postbc_jax/types.py', 'from postbc_jax import parallel', 'floor 2 from floor 1'),
        ('postbc_jax/data/npz.py', 'from postbc_jax.networks import mlp', 'floor 2 from floor 2'),
        ('postbc_jax/loop.py', 'from launch import run', 'floor 6 from floor 5'),
        ('postbc_jax/envs/lift.py', 'import postbc_jax.loop', 'floor 5 from floor 3'),
        ('postbc_jax/envs/lift.py', 'def f():\n    from postbc_jax.finetune.ppo import ppo', 'floor 4 from floor 3'),
        ('postbc_jax/losses.py', 'from postbc_jax import extras', 'it has no floor'),
        ('postbc_jax/loop.py', 'from experiments import lift', 'stands below it'),
        ('postbc_jax/data/npz.py', 'from . import validate', 'imports are absolute'),
        ('postbc_jax/loop.py', 'from absl import logging', 'pure functions'),
        ('postbc_jax/loop.py', 'import argparse', 'pure functions'),
        ('postbc_jax/policies/flow.py', 'from flax import linen as nn', 'Linen is for networks/'),
        ('postbc_jax/policies/flow.py', 'import flax.linen as nn', 'Linen is for networks/'),
        ('launch/run.py', 'import pickle', 'nothing is pickled'),
        ('launch/run.py', 'from brax.io import model', 'nothing is pickled'),
        ('launch/run.py', 'np.load(f, allow_pickle=True)', 'nothing is pickled'),
        ('launch/run.py', 'eval("1")', 'calls eval'),
        ('experiments/lift.py', 'import jax', 'an experiment is a config'),
        ('experiments/lift.py', 'from postbc_jax import envs', 'an experiment is a config'),
        ('postbc_jax/loop.py', 'print(1)', 'never prints'),
        ('postbc_jax/loop.py', 'assert True', 'not an assert'),
        ('postbc_jax/loop.py', 'def f():\n    global x', 'no global state'),
        ('postbc_jax/loop.py', 'jax.local_device_count()', 'only parallel knows'),
        ('launch/run.py', 'jax.pmap(f)', 'maintenance mode'),
        ('launch/utils.py', 'x = 1', 'name it for what it holds'),
        ('launch/run.py', 'x = 1\n' * 300, 'has 302 lines'),
    ],
)
def test_a_broken_rule_is_found(name, line, problem):
    found = problems(name, f'"""What it is."""\n{line}\n')
    assert len(found) == 1 and problem in found[0]


def test_a_file_without_a_docstring_is_found():
    assert problems('launch/run.py', 'x = 1\n') == ['launch/run.py: does not open by saying what it is']


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('postbc_jax/data/npz.py', 'from postbc_jax.data.validate import validate\nfrom postbc_jax import types'),
        ('postbc_jax/finetune/sac.py', 'from postbc_jax import envs, parallel, policies'),
        ('postbc_jax/networks/mlp.py', 'from flax import linen as nn'),
        ('launch/run.py', 'from absl import app\nfrom postbc_jax import loop\nimport launch.config\nprint(1)'),
        ('experiments/lift.py', 'import ml_collections\nfrom experiments.default import get_config'),
        ('experiments/sweep.py', 'from postbc_jax.sweep import product\nfrom postbc_jax import sweep'),
        ('postbc_jax/data/npz.py', 'numpy.load(f, allow_pickle=False)'),
        ('postbc_jax/parallel.py', 'jax.devices()'),
    ],
)
def test_what_is_allowed_is_not_found(name, text):
    assert problems(name, f'"""What it is."""\n{text}\n') == []
