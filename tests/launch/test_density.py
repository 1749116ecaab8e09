"""launch.density: what it draws is what the saved policies play, at the states it says; its numbers by hand."""

import json
import shutil

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from launch.demonstrations import subsets
from launch.density import draws, make_density, pictures
from launch.density.draws import Place
from postbc_jax import checkpoint, data
from tests.launch.test_report_page import Page
from tests.launch.written_runs import BC, POST


def test_rows_by_hand():
    played = {
        BC: np.array([[0.1, 0.0], [0.3, 0.0]]),
        POST: np.array([[0.0, 0.05], [0.05, 0.05], [0.5, 0.0], [0.0, 0.5]]),
    }
    place = Place('25 %, learnt from', 7, np.zeros(2), np.zeros((1, 2)), played)
    bc, post = place.rows([BC, POST])
    # BC: mean error (.2, 0), variance (.01, 0); nobody is within .1 of it
    assert bc['error'] == pytest.approx(np.sqrt(0.04 / 2)) and bc['rms'] == pytest.approx(np.sqrt(0.01 / 2))
    assert (bc['near'], post['near']) == (0.0, 0.5)


def test_a_density_has_its_peak_where_draws_are_and_the_kernels_width():
    at = np.linspace(-1, 1, 2001)
    one = pictures.density(np.full(5, 0.3), at)
    assert at[one.argmax()] == pytest.approx(0.3) and one.max() == 1
    assert at[one > np.exp(-0.5)].max() == pytest.approx(0.3 + pictures.WIDTH, abs=2e-3)
    two = pictures.density(np.array([-0.5, -0.5, -0.5, 0.5]), at)
    assert two[at > 0].max() == pytest.approx(1 / 3, abs=1e-6)


def test_states_are_of_the_share_and_the_demonstrations_that_are_named(whole, tmp_path):
    directory = tmp_path / 'run'
    shutil.copytree(whole[0], directory)
    (line, *told) = make_density(directory, seed=1)
    assert line == f'density: {directory}/density.html' and len(told) == 4
    demos = data.load(str(directory / 'demos.hdf5'), (), None, 1.0)
    mask = subsets(ConfigDict(json.loads((directory / 'config.json').read_text())), demos)[1]
    rows = json.loads((directory / 'density.json').read_text())
    assert {row['arm'] for row in rows} == {'BC', 'σ-BC matched to α=1', 'PostBC α=1'}
    for row in rows:
        assert bool(mask[row['step']]) == ('not' not in row['where'])
        mine = np.flatnonzero(demos.episode == demos.episode[row['step']])
        share = (row['step'] - mine[0]) / (len(mine) - 1)
        assert f'{100 * share:.0f}' == ('26' if row['where'].startswith('25') else '58')  # of 19 steps, the nearest

    arms, places = draws.measure(directory, 1, None, (0.25,))
    policy = checkpoint.load_policy(directory / 'policies' / 'pretrained', {'pretrain': 'bc', 'seed': 1})
    mean = np.mean([policy(demos.obs[places[0].step], key)[0][0] for key in jax.random.split(jax.random.key(5), 200)])
    played = places[0].played[arms[0]]
    assert played.shape == (draws.DRAWS, 1)
    assert played.mean() == pytest.approx(mean, abs=4 * played.std() * np.sqrt(1 / 200 + 1 / draws.DRAWS))
    np.testing.assert_array_equal(places[0].demonstrated, demos.actions[places[0].step])
    page = Page((directory / 'density.html').read_text())
    assert page.open == [] and page.outside == [] and (directory / 'figures' / 'density.png').exists()

    for arguments, says in (
        ({'seed': 9}, r'--seed=9: there are \[0, 1\]'),
        ({'alpha': 0.5}, r'--alpha=0.5: there are \[1.0\]'),
        ({'at': (1.5,)}, '--at=1.5: give shares'),
    ):
        with pytest.raises(ValueError, match=says):
            make_density(directory, **arguments)
    with pytest.raises(ValueError, match='holds no config.json'):
        make_density(tmp_path)
