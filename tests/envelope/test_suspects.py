"""Suspect demonstrations: every kind of error put into alike ones is found, with its reason, and nothing else."""

import numpy as np
import pytest

from postbc_jax.envelope import measures, styles, suspects
from postbc_jax.types import Demos

STEPS = 20


def episodes(number, seed=0):
    """Smooth, slightly different demonstrations of one motion: a list of (obs (T, 2), actions (T, 1))."""
    rng, time = np.random.default_rng(seed), np.linspace(0, 1, STEPS)
    found = []
    for _ in range(number):
        phase = 0.02 * rng.normal()
        obs = np.stack([2 * time - 1 + 0.02 * rng.normal(), np.sin(3 * time + phase)], axis=1)
        actions = np.cos(3 * time + phase)[:, None] + 0.01 * rng.normal(size=(STEPS, 1))
        found.append((obs, actions))
    return found


def detour(obs):
    """Leaves the way and comes back to it."""
    return obs + 3 * np.sin(np.pi * np.linspace(0, 1, STEPS))[:, None] * [0.0, 1.0]


def measured(given, operators=(), rewarded=None):
    """Measures with the true action as what is predicted, give or take .02."""
    obs, actions = (np.concatenate(part) for part in zip(*given, strict=True))
    lengths = [len(a) for _, a in given]
    rewarded = range(len(given)) if rewarded is None else rewarded
    rewards = [np.append(np.zeros(n - 1), float(i in rewarded)) for i, n in enumerate(lengths)]
    demos = Demos(
        obs=obs,
        actions=actions,
        rewards=np.concatenate(rewards),
        dones=np.zeros(len(obs)),
        episode=np.repeat(np.arange(len(given)), lengths),
        names=tuple(f'demo_{i}' for i in range(len(given))),
        operators=tuple(operators),
    )
    predicted = np.cos(3 * (obs[:, :1] + 1) / 2)
    return measures.measure(demos, obs, actions, predicted, np.full_like(actions, 0.05))


def reasons(found):
    return {one.demo: {reason.measure for reason in one.reasons} for one in found}


def test_alike_demonstrations_are_not_suspected():
    assert suspects.rank(measured(episodes(12))) == []


def test_measures_by_hand():
    obs = np.array([0.0, 1, 2, 2, 2, 3, 5, 6, 7])[:, None]
    actions = np.array([0.0, 1, 0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5])[:, None]
    rewards, episode = np.array([0, 0, 0, 1, 0, 0, 0, 0, 0]), np.array([0] * 6 + [1] * 3)
    demos = Demos(obs, actions, rewards, np.zeros(9), episode, ('a', 'b'))
    found = measures.measure(demos, obs, actions, np.zeros((9, 1)), np.full((9, 1), 0.5))
    np.testing.assert_allclose(found.actions, [np.sqrt((0 + 4 + 0 + 1 + 1 + 1) / 6), 1.0])
    np.testing.assert_allclose(found.states, [0, (0 + 1 + 2) / 3])  # the first comes nearer, the second leaves
    np.testing.assert_allclose(found.pauses, [2 / 5, 0])  # of five steps on, two move nowhere
    np.testing.assert_allclose(found.jerk, [np.sqrt((4 + 2.25 + 0.25 + 0) / 4), 0])
    assert found.success.tolist() == [1, 0] and found.length.tolist() == [6, 3]
    assert found.twin.tolist() == [-1, -1] and found.worst.tolist() == [1, 0]


def test_each_error_is_found_with_its_reason():
    given, rng = episodes(14), np.random.default_rng(9)
    given[1] = (given[1][0], given[1][1] + 0.4 * rng.normal(size=(STEPS, 1)))  # trembles
    given[4] = tuple(np.insert(x, 10, np.repeat(x[10:11], 25, axis=0), axis=0) for x in given[4])  # stops
    given[6] = (detour(given[6][0]), given[6][1])
    given[7] = (given[7][0] + np.linspace(3, 0, STEPS)[:, None] * [0.0, 1.0], given[7][1])  # begins elsewhere: no error
    given[9] = given[3]
    found = suspects.rank(measured(given, rewarded=set(range(14)) - {11}))
    said = reasons(found)
    assert said.keys() == {1, 4, 6, 9, 11}
    assert said[1] == {'actions', 'jerk'} and {'length', 'pauses'} <= said[4]
    assert said[6] == {'states'} and said[9] == {'twin'} and said[11] == {'success'}
    text = {one.demo: ' '.join(reason.sentence for reason in one.reasons) for one in found}
    assert 'takes 45 steps, where all usually take 20' in text[4] and 'repeats demonstration 3' in text[9]
    (named,) = [one for one in suspects.rank(measured(given), names=[f'run {i}' for i in range(14)]) if one.demo == 9]
    assert named.reasons[0].sentence == 'It repeats run 3 step for step.'
    assert '93 % of the demonstrations' in text[11]
    assert [one.demo for one in found[:2]] == [9, 11]  # beyond any number


def test_an_operators_way_is_a_style_for_itself_and_named_as_a_whole():
    given, who = episodes(30), ['ann', 'ann', 'bo', 'ann', 'ann', 'ann'] * 5
    for i in range(2, 30, 6):  # bo takes twice as long
        given[i] = tuple(np.repeat(x, 2, axis=0) for x in given[i])
    found = measured(given, who)
    assert not {'length', 'pauses'} & set().union(*reasons(suspects.rank(found, who)).values(), set())
    named = styles.by_operator(found, who, np.ones(30))
    assert {'length', 'pauses'} <= reasons(named)['bo'] and 'length' in reasons(named)[
        'ann'
    ]  # who is right is not known
    assert styles.by_operator(measured(episodes(4)), ['ann'] * 4, np.ones(4)) == []


def test_who_stands_still_is_found_among_jittering_dimensions():
    given, rng = episodes(14), np.random.default_rng(3)
    given[4] = tuple(np.insert(x, 10, np.repeat(x[10:11], 25, axis=0), axis=0) for x in given[4])
    given = [(np.hstack([obs, 0.3 * rng.normal(size=(len(obs), 3))]), actions) for obs, actions in given]
    found = measured(given)
    assert found.pauses[4] == pytest.approx(25 / 44) and np.delete(found.pauses, 4).max() < 0.1


def test_an_operator_who_goes_where_the_others_do_not_is_found():
    who, given = np.array(['ann', 'bo', 'cy'] * 4), episodes(12)
    given = [
        (detour(obs), actions) if name == 'bo' else (obs, actions)
        for name, (obs, actions) in zip(who, given, strict=True)
    ]
    obs, episode = np.concatenate([obs for obs, _ in given]), np.repeat(np.arange(12), STEPS)
    found = styles.elsewhere(obs, episode, who[episode])
    assert list(found) == ['bo'] and found['bo'][0].value > 10
    assert reasons(styles.by_operator(measured(given), who, np.ones(12), {}, found)) == {'bo': {'states'}}
    assert styles.elsewhere(obs[:60], episode[:60], who[episode[:60]]) == {}  # one demonstration each
    assert styles.elsewhere(obs, episode, np.array(['ann'] * 240)) == {}


def test_an_operator_who_fails_more_often_is_named():
    who = ['ann'] * 6 + ['bo'] * 6
    named = styles.by_operator(measured(episodes(12), who, rewarded=set(range(9))), who, np.ones(12))
    assert reasons(named) == {'bo': {'success'}} and '3 of 6 end without success' in named[0].reasons[0].sentence


def test_an_operator_who_always_leans_one_way_is_found_and_one_who_trembles_is_not():
    rng, episode = np.random.default_rng(4), np.repeat(np.arange(12), 20)
    operator = np.array(['ann', 'bo', 'cy'])[episode % 3]
    apart = 0.5 * rng.normal(size=(240, 2))
    apart[operator == 'bo', 1] -= 2.0
    apart[operator == 'cy'] *= 8
    found = styles.biases(apart, episode, operator, ('x', 'grip'))
    assert list(found) == ['bo'] and len(found['bo']) == 1
    (reason,) = found['bo']
    assert reason.value == pytest.approx(-2, abs=0.1) and 'less of grip than the others would' in reason.sentence
    alike = episodes(12)
    named = styles.by_operator(measured(alike), ['ann', 'bo', 'cy'] * 4, np.ones(12), found)
    assert reasons(named) == {'bo': {'bias'}}
    alone = styles.biases(apart[:60], episode[:60], operator[:60], ('x', 'grip'))  # one demonstration each
    assert alone == {}


def test_no_rewards_at_all_say_nothing_about_success():
    found = measured(episodes(6), rewarded=())
    assert np.isnan(found.success).all() and suspects.rank(found) == []


def test_robust_z_by_hand():
    values = np.array([1.0, 2.0, 3.0, 4.0, 100.0])
    np.testing.assert_allclose(suspects.robust_z(values), 0.6745 * (values - 3))
    np.testing.assert_allclose(suspects.robust_z(np.array([0.0, 0, 0, 1])), [0, 0, 0, 1 / (1.2533 * 0.25)])
    assert suspects.robust_z(np.array([5.0]), np.array([2.0, 2.0])).item() == np.inf
    assert suspects.robust_z(np.array([2.0, 2.0])).tolist() == [0, 0]


def test_a_single_demonstration_has_nobody_to_be_compared_with():
    assert suspects.rank(measured(episodes(1))) == []


@pytest.mark.parametrize('ratio', [1.2, 0.9])
def test_a_difference_too_small_to_matter_is_not_said_however_rare(ratio):
    given = episodes(12)
    given[2] = tuple(x[: int(STEPS * ratio)] if ratio < 1 else np.concatenate([x, x[-4:]]) for x in given[2])
    assert 'length' not in reasons(suspects.rank(measured(given))).get(2, set())
