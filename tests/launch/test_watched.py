"""The monitor's panel of the report, from rows as a run writes them: what is drawn, counted and told."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from launch.report import figures, make_report, watched
from launch.report.arms import styles
from tests.launch.written_runs import BC, POST, one_section, write_run


def rows(arm, seed, states, did=(), at=0):
    """A run of one chunk a state after an untouched one; `did` at chunk `at`."""
    arm = arm._asdict() | {'seed': seed}
    for chunk, state in enumerate(['healthy', *states]):
        measured = {'outside': None, 'spread': 0.5, 'distance': 1.0 + chunk}
        did_here = list(did) if chunk == at else []
        said = {'state': state, 'did': did_here, 'shown': ['success fell'] if did_here else []}
        yield (
            arm
            | {'finetune': 'dsrl_ppo', 'finetune_seed': 0, 'chunk': chunk, 'env_steps': 100 * chunk}
            | said
            | measured
        )


@pytest.fixture
def directory(tmp_path):
    write_run(tmp_path)
    written = [
        *rows(BC, 0, ['healthy', 'drifting', 'healthy'], ['rolled back to chunk 1'], at=2),
        *rows(BC, 1, ['healthy', 'healthy', 'drifting'], ['rolled back to chunk 2', 'stopped'], at=3),
        *rows(POST, 0, ['under-exploring'] * 3),
    ]
    (tmp_path / 'monitor.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in written) + '{"chunk": 1}\n')
    return tmp_path


def test_the_numbers_are_counted_over_runs(directory):
    section = one_section(directory)[0]
    header, table = watched.numbers(section.watched, section.arms)
    by_arm = {row[0]: dict(zip(header, row, strict=True)) for row in table}
    bc = by_arm['BC']
    assert (bc['runs'], bc['healthy'], bc['drifting'], bc['roll-backs'], bc['stopped']) == (
        '2',
        '67 %',
        '33 %',
        '2',
        '1',
    )
    assert (bc['outside'], bc['spread'], bc['distance']) == ('–', '0.50', '4.00')
    assert by_arm['PostBC α=1']['under-exploring'] == '100 %'


def test_what_happened_is_told_once(directory):
    section = one_section(directory)[0]
    assert watched.events(section.watched, section.arms) == [
        'BC, seed 0, chunk 2: drifting (success fell): rolled back to chunk 1',
        'BC, seed 0, chunk 3: healthy',
        'BC, seed 1, chunk 3: drifting (success fell): rolled back to chunk 2, stopped',
        'PostBC α=1, seed 0, chunk 1: under-exploring',
    ]


def test_the_report_shows_it_and_says_which_rows_it_left_out(directory):
    section = one_section(directory)[0]
    svg = figures.draw(section)['watched'].svg
    assert svg.count('↶') == 1 and svg.count('■') == 1 and 'overconfident' not in svg and 'drifting (d)' in svg
    assert 'scenarios' not in figures.draw(section)
    text = make_report(directory).read_text(encoding='utf-8')
    assert 'BC, seed 0, chunk 2: drifting' in text and 'monitor.jsonl: 1 row(s) left out' in text


def test_what_is_left_over_scenarios_is_a_mean_of_the_grid_at_each_chunk(directory):
    base = POST._asdict() | {'seed': 0, 'finetune': 'dsrl_ppo', 'finetune_seed': 0, 'episodes': 8}
    grid = [base | {'env_steps': n, 'success_rate': rate} for n, rate in ((0, 0.5), (0, 0.7), (200, 0.1), (200, 0.3))]
    (directory / 'scenarios.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in grid))
    section = one_section(directory)[0]
    axes = Figure().subplots()
    watched.scenarios(axes, section, styles(section.arms))
    single, mean = axes.get_lines()
    for line in (single, mean):
        np.testing.assert_allclose(line.get_xydata(), [[0, 0.6], [200, 0.2]])
    assert 'scenarios' in figures.draw(section)
