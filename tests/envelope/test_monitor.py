"""The monitor's state machine against arithmetic by hand: what is evidence, when states come and go, what is done."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax.envelope import monitor
from postbc_jax.envelope.monitor import DRIFTING, HEALTHY, OVERCONFIDENT, UNDER_EXPLORING, Measured, begin, slope
from postbc_jax.envelope.monitor_config import MonitorConfig

EPISODES = 10_000  # so many that a share's standard error is no matter
FINE = {'success': 0.5, 'outside': 0.05, 'spread': 1.0, 'distance': 1.0}
observe = jax.jit(monitor.observe, static_argnums=(0, 3))


def watched(config, *chunks, episodes=EPISODES):
    """[(memory, verdict)] of chunks that differ from FINE by what each says."""
    memory, found = begin(config), []
    for chunk in chunks:
        measured = Measured(**{name: jnp.float32(value) for name, value in (FINE | chunk).items()})
        memory, verdict = observe(config, memory, measured, episodes)
        found.append((memory, verdict))
    return found


def states(found):
    return [int(memory.state) for memory, _ in found]


@pytest.mark.parametrize(
    ('chunk', 'state'),
    [
        ({}, HEALTHY),
        ({'outside': 0.26}, DRIFTING),
        ({'outside': 0.24}, HEALTHY),
        ({'outside': np.nan}, HEALTHY),  # no envelope was fitted
        ({'distance': 3.1}, DRIFTING),
        ({'spread': 0.24}, OVERCONFIDENT),
        ({'spread': 0.24, 'success': 0.9}, HEALTHY),  # it may be sure
        ({'spread': 0.24, 'outside': 0.5}, DRIFTING),  # the worse of two
        ({'distance': 0.2}, HEALTHY),  # whether it improves is not known yet
    ],
)
def test_what_one_chunk_is_evidence_of(chunk, state):
    [(_, verdict)] = watched(MonitorConfig(), chunk)
    assert verdict.evidence == state


def test_standing_still_is_under_exploring_once_the_window_is_full():
    found = watched(MonitorConfig(window=3, enter=1), *[{'distance': 0.2}] * 4)
    assert states(found) == [HEALTHY, HEALTHY, UNDER_EXPLORING, UNDER_EXPLORING]
    assert np.isnan(found[1][1].improvement) and found[2][1].improvement == 0
    rising = [{'distance': 0.2, 'success': success} for success in (0.1, 0.2, 0.3, 0.4)]
    found = watched(MonitorConfig(window=3, enter=1), *rising)
    assert states(found) == [HEALTHY] * 4
    np.testing.assert_allclose(found[-1][1].improvement, 0.1, rtol=1e-5)


def test_the_slope_is_least_squares():
    recent = np.random.default_rng(0).uniform(size=7).astype(np.float32)
    np.testing.assert_allclose(slope(jnp.array(recent)), np.polyfit(np.arange(7), recent, 1)[0], rtol=1e-5)


def test_a_state_comes_after_enter_chunks_and_goes_after_leave():
    bad, config = {'outside': 1.0}, MonitorConfig(enter=2, leave=3)
    found = watched(config, bad, {}, bad, bad, {}, {}, bad, {}, {}, {}, {})
    assert states(found) == [0, 0, 0, 3, 3, 3, 3, 3, 3, 0, 0]
    assert [bool(verdict.entered) for _, verdict in found] == [i in (3, 9) for i in range(11)]
    # From one state to another as from health: by chunks in a row of the other's evidence.
    assert states(watched(config, bad, bad, {'spread': 0.1}, {'spread': 0.1})) == [0, 3, 3, 2]


def test_a_fall_is_below_the_best_and_beyond_two_standard_errors():
    before, after = {'success': 0.6}, {'success': 0.4}
    assert states(watched(MonitorConfig(enter=1), before, after)) == [HEALTHY, DRIFTING]
    assert states(watched(MonitorConfig(enter=1, fall=0.25), before, after)) == [HEALTHY, HEALTHY]
    # 2 sqrt((.6 .4 + .4 .6) / n) is .2 at n = 48: one episode fewer is too few.
    assert states(watched(MonitorConfig(enter=1), before, after, episodes=49)) == [HEALTHY, DRIFTING]
    assert states(watched(MonitorConfig(enter=1), before, after, episodes=47)) == [HEALTHY, HEALTHY]


def test_the_best_chunk_is_the_first_of_the_best():
    found = watched(MonitorConfig(), *({'success': s} for s in (0.2, 0.5, 0.5, 0.4)))
    assert [bool(verdict.best) for _, verdict in found] == [True, True, False, False]
    assert [int(memory.best_chunk) for memory, _ in found] == [0, 1, 1, 1]


def test_a_collapse_is_rolled_back_until_there_were_too_many_and_then_stopped():
    config = MonitorConfig(enter=1, roll_backs=2, drifting=('roll_back', 'learning_rate', 'stop'))
    up, down = {'success': 0.8}, {'success': 0.1}
    found = watched(config, up, down, up, down, down, down)
    assert [bool(verdict.roll_back) for _, verdict in found] == [False, True, False, True, True, False]
    assert [float(memory.scales.learning_rate) for memory, _ in found] == [1, 0.5, 0.5, 0.25, 0, 0]
    assert [bool(memory.stopped) for memory, _ in found] == [False] * 4 + [True] * 2
    assert [int(memory.roll_backs) for memory, _ in found] == [0, 1, 1, 2, 3, 3]


def test_drifting_without_a_collapse_is_not_rolled_back():
    config = MonitorConfig(enter=1, drifting=('roll_back', 'bound'))
    (memory, verdict) = watched(config, {'outside': 1.0})[-1]
    assert not verdict.roll_back and verdict.tightened
    np.testing.assert_allclose(memory.scales.bound, 0.8)


def test_a_state_that_lasts_is_answered_every_enter_chunks():
    config = MonitorConfig(enter=2, drifting=('bound',))
    found = watched(config, *[{'outside': 1.0}] * 6)
    assert [bool(verdict.tightened) for _, verdict in found] == [False, True, False, True, False, True]


def test_the_bound_is_widened_again_but_no_further_than_it_was():
    config = MonitorConfig(enter=1, drifting=('bound',), overconfident=('bound', 'entropy'), bound_step=0.5)
    found = watched(config, {'outside': 1.0}, *[{'spread': 0.1}] * 2)
    assert [float(memory.scales.bound) for memory, _ in found] == [0.5, 1, 1]
    assert [bool(verdict.widened) for _, verdict in found] == [False, True, False]
    np.testing.assert_allclose([memory.scales.target_entropy for memory, _ in found], [0, 0.5, 1.0])
    np.testing.assert_allclose([memory.scales.entropy_cost for memory, _ in found], [0, 0.003, 0.006])


def test_nothing_is_done_unless_it_is_asked_for():
    for memory, verdict in watched(MonitorConfig(enter=1), {'success': 0.9}, {'success': 0.0}, {'spread': 0.0}):
        assert not any(map(bool, verdict[5:]))
        assert jax.tree.leaves(memory.scales) == [1, 1, 0, 0]


def test_many_learners_at_once_are_each_alone():
    config, draw = MonitorConfig(enter=1, window=2, drifting=('roll_back',)), np.random.default_rng(1)
    chunks = draw.uniform(size=(5, 4, 3)).astype(np.float32)  # chunk, measurement, learner
    step = jax.vmap(functools.partial(monitor.observe, config, episodes=EPISODES))
    memory = jax.tree.map(lambda x: jnp.stack([x] * 3), begin(config))
    for measured in chunks:
        memory, _ = step(memory, Measured(*measured))
    for i in range(3):
        alone = watched(config, *(dict(zip(Measured._fields, m[:, i], strict=True)) for m in chunks))[-1][0]
        jax.tree.map(lambda a, b, i=i: np.testing.assert_array_equal(a[i], b), memory, alone)


@pytest.mark.parametrize(
    ('setting', 'message'),
    [
        ({'enter': 0}, 'monitor.enter=0: must be at least 1'),
        ({'window': 1}, 'monitor.window=1'),
        ({'fall': 1.5}, 'monitor.fall=1.5'),
        ({'learning_rate_step': 1.0}, 'monitor.learning_rate_step=1.0'),
        ({'drifting': ('rollback',)}, r'monitor.drifting=\(.rollback.,\): choose of bound, learning_rate, roll_back'),
        ({'under_exploring': ('stop',)}, 'monitor.under_exploring'),
    ],
)
def test_settings_that_cannot_be_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        MonitorConfig(**setting)
