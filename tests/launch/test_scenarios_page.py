"""Scenarios of a finished run's policies: rows, page and heat maps, and what is refused."""

import re

import numpy as np
import pytest

from launch.scenarios import make_scenarios, measure, pictures
from postbc_jax.envelope.scenarios import grid
from tests.launch.tiny_runs import ARMS, LEARNERS, rows

AXES = {'gains': [1.0, 0.5], 'biases': [0.0], 'noises': [0.0, 0.3], 'delays': [0, 2]}


@pytest.fixture(scope='module')
def made(whole, tmp_path_factory):
    """(work directory of the page, lines)."""
    directory = tmp_path_factory.mktemp('scenarios')
    return directory, make_scenarios(whole[0] / 'policies' / 'dsrl_ppo', directory, 8, AXES)


def test_there_is_a_row_for_every_policy_and_scenario(made):
    found = rows(made[0], 'scenarios.jsonl')
    assert len(found) == LEARNERS * 8
    assert len({(row['pretrain'], row['seed'], row['gain'], row['noise'], row['delay']) for row in found}) == len(found)
    assert {row['episodes'] for row in found} == {8} and {row['task'] for row in found} == {'gate'}


def test_the_page_has_a_heat_map_of_every_arm_and_the_terminal_a_line(made):
    directory, lines = made
    page = (directory / 'scenarios.html').read_text(encoding='utf-8')
    assert page.count('<figure') == ARMS and len(lines) == 1 + ARMS
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    assert sorted(path.name for path in (directory / 'figures').glob('*.svg')) == [
        f'scenarios_{i}.svg' for i in range(ARMS)
    ]


def test_a_cell_is_a_mean_over_seeds_of_a_region():
    base = {'gain': 1, 'bias': 0, 'noise': 0, 'delay': 0}
    found = [base | {'success_rate': rate, 'regions': regions} for rate, regions in ((0.5, {'rare': 1.0}), (0.25, {}))]
    assert pictures.rate(found, 'all') == 0.375
    assert pictures.rate(found, 'rare') == 1.0
    assert np.isnan(pictures.rate(found, 'dense'))
    svg = pictures.draw('one', [row | {'regions': {'all': row['success_rate']}} for row in found]).svg
    assert '0.38' in svg and 'as learnt' in svg


def test_rows_belong_to_their_learner_and_scenario():
    success = np.zeros((2, 4, 2))
    success[1, :, 0], success[1, :3, 1] = 1, 1
    played = {'success': success, 'region': np.zeros((2, 4, 2), int)}
    found = measure.rows(played, grid([1.0], [0.0], [0.0], [0, 3]), ('all',), [{'seed': 0}, {'seed': 1}])
    assert [(row['seed'], row['delay'], row['success_rate']) for row in found] == [
        (0, 0, 0.0),
        (0, 3, 0.0),
        (1, 0, 1.0),
        (1, 3, 0.75),
    ]


def test_what_cannot_be_played_is_refused(whole, tmp_path):
    policies = whole[0] / 'policies' / 'pretrained'
    with pytest.raises(ValueError, match=r'scenarios.delays=\(\): give at least one'):
        make_scenarios(policies, tmp_path, 8, AXES | {'delays': []})
    with pytest.raises(ValueError, match='--episodes=0'):
        make_scenarios(policies, tmp_path, 0, AXES)
    with pytest.raises(ValueError, match='holds no policies'):
        make_scenarios(tmp_path, tmp_path, 8, AXES)
    assert not any(tmp_path.iterdir())
