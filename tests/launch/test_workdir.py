"""Claiming a work directory: what another config may change in it, and when."""

import json

import pytest

from experiments import default
from launch import config as settings
from launch.workdir import claim, directory_of


@pytest.fixture
def begin(tmp_path):
    """begin(*stages with a checkpoint, **settings): a directory as a run leaves it. Returns the function that claims
    it again with other settings."""

    def make(*stages, **values):
        config = at(**values)
        claim(tmp_path, config)
        for name in ('demos.hdf5', 'done.json'):
            (tmp_path / name).write_text('{}')
        for stage in stages:
            (tmp_path / 'checkpoints' / stage / '3').mkdir(parents=True)
        return lambda **values: claim(tmp_path, at(**values))

    return make


def at(**values):
    return settings.at_point(default.get_config(), {name.replace('__', '.'): value for name, value in values.items()})


def left(directory):
    """(config.json, which of demos.hdf5 and done.json are there)."""
    there = {name for name in ('demos.hdf5', 'done.json') if (directory / name).exists()}
    return json.loads((directory / 'config.json').read_text()), there


def test_the_same_config_changes_nothing(begin, tmp_path):
    again = begin('posterior', 'pretrain', 'dsrl_ppo')
    before = left(tmp_path)
    again()
    assert left(tmp_path) == before and before[1] == {'demos.hdf5', 'done.json'}


def test_what_changes_no_number_may_change(begin, tmp_path):
    again = begin('posterior', 'pretrain', 'dsrl_ppo')
    again(save_every=5.0, tensorboard=True, env_settings__workers=3)
    config, there = left(tmp_path)
    assert (config['save_every'], config['tensorboard'], config['env_settings']['workers']) == (5.0, True, 3)
    assert there == {'demos.hdf5', 'done.json'}


def test_finetuning_may_be_made_longer_and_not_shorter(begin, tmp_path):
    again = begin('posterior', 'pretrain', 'dsrl_ppo', finetune__chunks=3)
    again(finetune__chunks=5)
    config, there = left(tmp_path)
    assert config['finetune']['chunks'] == 5
    assert there == {'demos.hdf5'}  # it is not done any more
    with pytest.raises(ValueError, match=r'begun with finetune\.chunks=5, not 4: use the old value or another'):
        again(finetune__chunks=4)


@pytest.mark.parametrize(
    ('values', 'says'),
    [
        ({'pretrain__steps': 500, 'policy__hidden': (8,)}, r'policy\.hidden=\[96, 96, 96\], not \[8\]'),
        ({'alphas': (1.0, 2.0)}, r'alphas=\[1\.0\], not \[1\.0, 2\.0\]'),
        ({'dsrl_ppo__groups': 4}, r'dsrl_ppo\.groups=8, not 4'),
        ({'env_settings__horizon': 5}, r'env_settings\.horizon=None, not 5'),
        ({'save_every': 1.0, 'seed': 1, 'finetune__chunks': 20}, 'seed=0, not 1'),
    ],
)
def test_anything_else_is_refused_and_nothing_is_touched(begin, tmp_path, values, says):
    again = begin('posterior', 'pretrain', 'dsrl_ppo')
    before = left(tmp_path)
    with pytest.raises(ValueError, match=rf'config\.json: this directory was begun with {says}: use'):
        again(**values)
    assert left(tmp_path) == before


def test_settings_of_finetuning_are_open_until_it_has_begun(begin, tmp_path):
    again = begin('posterior', 'pretrain', finetune__algorithm='none')
    again(finetune__algorithm='dsrl_sac', finetune__chunks=2, dsrl_sac__batch_size=64)
    assert left(tmp_path)[1] == {'demos.hdf5'}
    with pytest.raises(ValueError, match='begun with pretrain'):
        again(finetune__algorithm='dsrl_sac', pretrain__steps=500)


def test_algorithms_are_added_and_none_that_has_begun_is_left_out(begin, tmp_path):
    again = begin('posterior', 'pretrain', 'dsrl_ppo')
    again(finetune__algorithm='dsrl_ppo, dsrl_sac', dsrl_sac__batch_size=64)
    assert left(tmp_path)[1] == {'demos.hdf5'}
    with pytest.raises(ValueError, match='begun with finetune.algorithm=.*, not .dsrl_sac.'):
        again(finetune__algorithm='dsrl_sac', dsrl_sac__batch_size=64)
    with pytest.raises(ValueError, match='begun with finetune.bound=1.5, not 2.0'):
        again(finetune__algorithm='dsrl_ppo, dsrl_sac', dsrl_sac__batch_size=64, finetune__bound=2.0)


def test_a_directory_in_which_nothing_was_trained_takes_any_config(begin, tmp_path):
    again = begin()
    (tmp_path / 'checkpoints' / 'posterior' / '3.orbax-checkpoint-tmp').mkdir(parents=True)  # killed in its first save
    again(subset=5, pretrain__steps=500)
    assert left(tmp_path)[0]['pretrain']['steps'] == 500
    assert left(tmp_path)[1] == {'demos.hdf5'}  # they follow from other settings
    again(subset=5, record__noise=0.1)
    assert left(tmp_path)[1] == set()


def test_a_file_that_is_given_is_not_removed(begin, tmp_path):
    again = begin(demos=str(tmp_path / 'demos.hdf5'))
    again(demos=str(tmp_path / 'demos.hdf5'), env='lift')
    assert left(tmp_path)[1] == {'demos.hdf5'}


def test_a_sweep_and_a_point_do_not_share_a_directory(tmp_path):
    assert directory_of(tmp_path, 0, 1) == tmp_path
    assert directory_of(tmp_path, 2, 3) == tmp_path / 'point_0002'
    (tmp_path / 'config.json').touch()
    with pytest.raises(ValueError, match='holds the run of a single point'):
        directory_of(tmp_path, 2, 3)
    (tmp_path / 'config.json').unlink()
    (tmp_path / 'point_0002').mkdir()
    with pytest.raises(ValueError, match='holds the points of a sweep'):
        directory_of(tmp_path, 0, 1)


def test_processes_see_what_a_claim_has_left(run_in_processes, tmp_path):
    """Process 0 removes the old demonstrations late; nobody may take them for the new ones."""
    code = f"""
        import json, pathlib, time, jax
        from postbc_jax import parallel
        parallel.initialize()
        from tests.launch.test_workdir import at
        from launch.workdir import claim
        directory = pathlib.Path({str(tmp_path)!r})
        claim(directory, at())
        demos = directory / 'demos.hdf5'
        demos.touch()
        if jax.process_index() == 0:
            time.sleep(2)
        claim(directory, at(record__noise=0.1))
        print(json.dumps(demos.exists()))
        """
    assert run_in_processes(2, 1, code) == [False, False]
