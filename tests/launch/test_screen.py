"""launch.screen: PostBC against the frontier of isotropic noise, by hand, and what is made of a sweep."""

import csv
import json
import subprocess
import sys

import pytest

from launch import screen
from launch.arms import Arm
from tests.launch.tiny_runs import ROOT, environment
from tests.launch.written_runs import BC, one_section, write_run

POINTS = [(0.8, 0.2), (0.6, 0.5), (0.4, 0.4), (0.2, 0.7)]


@pytest.mark.parametrize(
    ('success', 'reach'),
    [
        (0.9, 0.2),  # more than any has: what the one of most success reaches
        (0.8, 0.2),
        (0.7, 0.35),  # halfway between the first two
        (0.6, 0.5),
        (0.4, 0.6),  # the third lies below the line from the second to the last
        (0.2, 0.7),
        (0.0, 0.7),
    ],
)
def test_the_frontier_is_the_best_mixture_that_succeeds_as_often(success, reach):
    assert screen.frontier(POINTS, success) == pytest.approx(reach, abs=1e-12)


def test_scores_are_paired_by_seed(tmp_path):
    """Two seeds; dense pass@1 and rare pass@16 of BC, two sizes of isotropic noise, and PostBC."""
    small, large = Arm('sigma_bc', sigma=0.1), Arm('sigma_bc', matched_alpha=1.0)
    post = Arm('post_bc', alpha=1.0)
    numbers = {
        BC: ((0.8, 0.2), (0.6, 0.1)),
        small: ((0.6, 0.4), (0.4, 0.3)),
        large: ((0.2, 0.6), (0.2, 0.4)),
        post: ((0.4, 0.7), (0.5, 0.5)),
    }
    write_run(tmp_path)
    with open(tmp_path / 'coverage.jsonl', 'w') as file:
        for arm, by_seed in numbers.items():
            for seed, (dense, rare) in enumerate(by_seed):
                label = {'experiment': 'e', 'task': 'lift', 'seed': seed, 'starts': 8} | arm._asdict()
                label['sigma'] = 0.1 + seed if arm.matched_alpha else arm.sigma
                for region, n, rate in (('dense', 1, dense), ('rare', 16, rare), ('rare', 64, 1.0), ('all', 1, 0.0)):
                    file.write(json.dumps(label | {'region': region, 'n': n, 'pass_at_n': rate}) + '\n')
    (score,) = screen.scores(one_section(tmp_path)[0])
    assert score.arm == post and score.gain.n == 2
    assert score.price.value == pytest.approx((0.4 + 0.1) / 2)
    assert score.to_bc.value == pytest.approx((0.5 + 0.4) / 2)
    # seed 0: at .4 between small (.6, .4) and large (.2, .6) is .5; seed 1: at .5 between BC and small is .2
    assert score.gain.value == pytest.approx(((0.7 - 0.5) + (0.5 - 0.2)) / 2)


def test_a_sweep_is_ranked_and_drawn(tmp_path):
    for index, (subset, members) in enumerate([(10, 20), (5, 20), (10, 100)]):
        directory = write_run(tmp_path / f'point_{index:04d}', seeds=2, regions=('dense', 'rare'), root=index)
        config = json.loads((directory / 'config.json').read_text())
        changed = config | {'seed': 0, 'subset': subset, 'posterior': {'members': members}}
        (directory / 'config.json').write_text(json.dumps(changed))
    done = _run(f'--workdir={tmp_path}')
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert {line.split('  ')[0] for line in said[:-1]} == {'the middle setting', 'subset 5', 'posterior.members 100'}
    table = list(csv.DictReader((tmp_path / 'screen.csv').read_text().splitlines()))
    gains = [float(row['gain']) for row in table]
    assert len(table) == 3 and gains == sorted(gains, reverse=True)
    assert {(row['subset'], row['posterior.members'], row['alpha'], row['seeds']) for row in table} == {
        ('10', '20', '1', '2'),
        ('5', '20', '1', '2'),
        ('10', '100', '1', '2'),
    }
    assert (tmp_path / 'figures' / 'screen.png').stat().st_size > 10_000


def test_refused_in_one_line(tmp_path):
    done = _run(f'--workdir={tmp_path}')
    assert done.returncode == 1
    assert done.stderr == f'error: {tmp_path}: no setting has pass@N of BC and PostBC: run its pretraining first\n'


def _run(*arguments):
    command = [sys.executable, '-m', 'launch.screen', *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
