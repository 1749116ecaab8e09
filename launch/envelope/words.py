"""The document in plain words, for people who deploy a policy and do not know how it was made.

Between the numbers and the page. Unusual is never called wrong, and usual never safe.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from launch.report.words import Sentence, number, signed

LEDE = (
    'What the demonstrations show, how far the policy keeps to it, and what the guard does where it does not. '
    'Everything here comes from the demonstrations and the policy alone: nothing was run on a robot.'
)
COVER = (
    'The states of the demonstrations fall into regions: states that look alike. A bar is the part of an episode in '
    'which episodes come through a region (the middle 90 %; the dot is the median). Red: too few demonstrations, '
    'because fewer than 5 come through, or because what is not known outweighs what the demonstrators themselves vary.'
)
RANGES = (
    'A bar is where 90 % of the demonstrated actions lie in the region; black ticks are the values that they gather '
    'at, thicker for more of them. Two ticks far apart mean two ways of doing it, and the middle between them may be '
    'neither.'
)
WHY = (
    'Actions differ for four reasons: because the states do; because operators have different styles; because one '
    'operator does not always do the same; and because there are too few demonstrations to know. The last shrinks '
    'with more demonstrations, the others do not.'
)
RELIABILITY = (
    'For every level, the policy’s own draws give a range that should hold so many of the actions. On the diagonal it '
    'does; above it the policy varies more than the demonstrations, below it less. Thick: all states, with a 95 % '
    'band; thin: regions.'
)
EXCESS = (
    'The same as one number: how many more (right) or fewer (left) demonstrated actions lie inside than should, '
    'averaged over levels. Bars are 95 % intervals over demonstrations; one that crosses 0 is called sound.'
)
SUSPECTS = (
    'Each dot is a demonstration, compared with the median one. Red ones are far outside, for the reasons below. They '
    'are unusual, not proven wrong: look at them before leaving them out. An operator’s demonstrations are compared '
    'with each other, so that a style is not taken for an error.'
)
STARTS = (
    'Grey: where demonstrations began; stars: where one more would teach most, in the order in which to record them. '
    'Each is chosen as if those before it had been recorded.'
)
GUARD = (
    'How far decisions lie from the middle of the envelope. What is beyond the red line is flagged. Grey: '
    'demonstrators, judged without their own demonstration. Blue: this policy, at demonstrated states.'
)
CONTEXTS = (
    'Contexts are parts of the task, declared when the policy was trained; “routine” is all the rest. Allowed: '
    'distance of the actions and strangeness of the state, on the scales on which what demonstrators do is usually '
    'about 1 or less. Noise in training multiplies what the policy was taught to vary; the noise bound limits it when '
    'it plays.'
)
EXPECTED = 'Where 90 % of the demonstrated actions lie, whatever the state; the regions above are finer.'
STATE = (
    'How far a state lies from all demonstrated ones. Beyond the red line the guard says that nobody has shown what to '
    'do here.'
)
MODES = {
    'project': 'plays the nearest action that is still inside the envelope',
    'mean': 'plays the middle of the envelope: what demonstrators would do on average here',
    'safe': 'lets another policy decide, one that is trusted, or plain imitation without noise',
}
_PARTS = ((0.15, 'the start'), (0.4, 'early'), (0.6, 'midway'), (0.88, 'late'), (1.01, 'the end'))
_WIDENED = 1.3  # times by which suspects must widen the guard's bounds to be said to
_TONE = {'sound': 'up', 'undecided': 'open', 'too broad': 'warn', 'too narrow': 'warn'}
_MEANS = {
    'undecided': 'From so few nothing can be concluded.',
    'sound': 'It varies about as much as the demonstrators do.',
    'too broad': 'It varies more than the demonstrators do: expect actions that nobody showed, where precision matters '
    'too. Less noise in training (a smaller alpha), or the guard, narrows it.',
    'too narrow': 'It varies less than the demonstrators do: it leaves out things that they do, and finetuning cannot '
    'find what it never tries. More noise in training (a larger alpha) broadens it.',
}


def when(quantiles: Sequence[float]) -> str:
    """'early, 10–35 % of an episode'."""
    low, middle, high = quantiles
    part = next(name for end, name in _PARTS if middle < end)
    return f'{part}, {100 * low:.0f}–{100 * high:.0f} % of an episode'


def summary(found: Mapping[str, Any]) -> list[Sentence]:
    """What a reader should take away, most important first."""
    return [*_policy(found), _guard(found), *_few(found), *_errors(found), *_next(found)]


def about(found: Mapping[str, Any]) -> str:
    """The policy and the demonstrations, in a sentence or two."""
    policy, demos = found['policy'], found['demos']
    who = ', '.join(f'{name} {n}' for name, n in demos['operators'].items())
    return (
        f'{policy["name"]}, for {policy["task"]}; it decides {_actions(policy["chunk"])} at a time. '
        f'{demos["demonstrations"]} demonstrations of {demos["steps"]:,} steps{f" ({who})" if who else ""}; the policy '
        f'has learnt from {demos["learnt_from"]} of them.'
    )


def _policy(found: Mapping[str, Any]) -> list[Sentence]:
    curves, verdict = found['reliability'], found['verdict']
    if not curves['whole']:
        return [Sentence('open', 'Whether the policy’s range fits is not known:', f'{curves["why_not"]}.')]
    inside = curves['whole']['coverage'][curves['levels'].index(0.8)]
    asked = {
        'unseen': f'Of {curves["demonstrations"]} demonstrations that it has not learnt from',
        'left out': f'Of {curves["demonstrations"]} demonstrations, each left out of training in turn',
    }[curves['how']]
    said = f'{asked}, the ranges that should hold 80 % of the actions held {100 * inside:.0f} %. '
    other = [f'{name} {what}' for name, what in verdict['regions'].items() if what not in (None, verdict['whole'])]
    said += _MEANS[verdict['whole']] + (f' By region otherwise: {", ".join(other)}.' if other else '')
    return [Sentence(_TONE[verdict['whole']], f'The policy’s range is {verdict["whole"]}.', said)]


def _guard(found: Mapping[str, Any]) -> Sentence:
    guard = found['guard']
    flagged, policy = guard['flagged']['either'], guard['policy_flagged']
    text = (
        f'Of demonstrators’ own decisions it flags {percent(flagged)}, of this policy’s actions at demonstrated '
        f'states {percent(policy)}. '
    )
    if policy > 2 * max(flagged, 0.01):
        return Sentence('warn', 'The guard would often step in.', f'{text}The policy often does what nobody showed.')
    return Sentence(
        'note', 'The guard would seldom step in.', f'{text}At states that nobody showed it does more often.'
    )


def _few(found: Mapping[str, Any]) -> list[Sentence]:
    few = [region for region in found['regions'] if region['too_few']]
    if not few:
        text = 'In every region what demonstrators themselves vary outweighs what is not known.'
        return [Sentence('up', 'There are enough demonstrations everywhere.', text)]
    named = '; '.join(f'{r["name"]} ({r["title"]}: {r["demonstrations"]}, about {r["more"]} more)' for r in few)
    short = f'Too few demonstrations in {len(few)} of {len(found["regions"])} regions.'
    return [Sentence('warn', short, f'{named}. There the policy guesses.')]


def _errors(found: Mapping[str, Any]) -> list[Sentence]:
    suspects, operators = found['suspect_demos'], found['suspect_operators']
    sentences = []
    if suspects:
        named = ', '.join(row['demo'] for row in suspects[:8]) + (' and others' if len(suspects) > 8 else '')
        short = '1 demonstration looks like an error.'
        if len(suspects) > 1:
            short = f'{len(suspects)} demonstrations look like errors.'
        sentences.append(Sentence('warn', short, f'{named}: reasons below.{_widened(found)}'))
    else:
        sentences.append(Sentence('up', 'No demonstration looks like an error.', ''))
    if operators:
        named = ', '.join(row['operator'] for row in operators)
        sentences.append(Sentence('warn', f'Unlike the other operators as a whole: {named}.', 'Reasons below.'))
    return sentences


def _widened(found: Mapping[str, Any]) -> str:
    """What the suspects do to the guard's bounds, where that is much."""
    wide = [row for row in found['guard']['contexts'] if row['without_suspects'] and _ratio(row) > _WIDENED]
    if not wide:
        return ''
    worst = max(wide, key=_ratio)
    return (
        f' They make the guard {number(_ratio(worst), 1)} times as tolerant of actions (context {worst["context"]}): '
        f'without them it would flag {percent(worst["without_suspects"]["policy_flagged"])} of this policy’s actions '
        'there.'
    )


def _ratio(row: Mapping[str, Any]) -> float:
    return row['radius'] / max(row['without_suspects']['radius'], 1e-12)


def _next(found: Mapping[str, Any]) -> list[Sentence]:
    if not found['record_next']:
        return []
    best, usual = found['record_next'][0], found['usual_gain']
    text = (
        f'One that begins as {best["like"]} does makes what is not known {percent(best["gain"], 1)} less; a usual one '
        f'{percent(usual, 1)}.'
    )
    return [Sentence('note', 'What to record next:', text)]


def suspects(found: Mapping[str, Any]) -> list[Sentence]:
    """Each suspect demonstration and operator, with its reasons."""
    who = {row['index']: f' ({row["operator"]})' * bool(row['operator']) for row in found['suspect_demos']}
    rows = [Sentence('warn', f'{row["demo"]}{who[row["index"]]}', _reasons(row)) for row in found['suspect_demos']]
    rows += [Sentence('warn', f'all of {row["operator"]}’s', _reasons(row)) for row in found['suspect_operators']]
    return rows


def diversity(found: Mapping[str, Any]) -> str:
    """The diversity score, and what was added."""
    score = found['diversity']
    text = (
        f'Diversity: the {score["demonstrations"]} demonstrations are as different as {number(score["score"], 1)} that '
        'have nothing in common.'
    )
    if 'before' in score:
        text += (
            f' Before some were added it was {number(score["before"], 1)}: each added one brought '
            f'{signed(score["each_added"])}.'
        )
    return text


def rules(found: Mapping[str, Any]) -> list[str]:
    """What the guard does, step by step."""
    mode = found['guard']['mode']
    ways = '; '.join(f'“{name}” {what}' for name, what in MODES.items())
    run = f'This policy’s run used “{mode}”.' if mode else 'This policy’s run used no guard.'
    return [
        f'Before each decision ({_actions(found["policy"]["chunk"])}) is played, it asks two questions: is the state '
        'like those that were demonstrated, and are the actions together like what demonstrators would do in it?',
        'If both answers are yes, the actions are played as they are. Most decisions pass like this.',
        f'If not, the decision is flagged and counted, and something else is played: {ways}. {run}',
        'In a strange state the envelope itself knows little: there a safe policy plays, whatever the mode, if there '
        'is one; if not, only actions that are unusual too are changed, and the decision is counted.',
        'The share of good decisions that it flags is chosen beforehand (the rate below): half for the actions, half '
        'for the states. A smaller rate lets more through, also of what is wrong. The numbers below are those of the '
        f'envelope of {found["guard"]["of"]}.',
    ]


def limits(found: Mapping[str, Any]) -> list[str]:
    """What all of this does not say."""
    demos, regions = found['demos'], found['regions']
    supported = max(row['supported'] for row in found['guard']['contexts'])
    return [
        'The envelope knows what was demonstrated, not what is safe. Something unusual may be right, and something '
        'usual may be dangerous where the world has changed in a way that the observations do not show.',
        f'It rests on {demos["demonstrations"]} demonstrations. Flag rates hold on average over demonstrations like '
        f'these; so few decisions support rates from {percent(supported, 1)} on, and each new one may differ more.',
        'It has seen only the observations that are in the file: no forces, no people, nothing behind the camera.',
        f'Verdicts are 95 % intervals: each of {len(regions)} regions has one chance in twenty of a wrong one.',
        'How variation is split between operators, within one and not known is a model’s answer, asked about '
        'demonstrations that its parts had not seen: the spread that it predicts there is '
        f'{number(found["spread_over_error"], 1)} times what it turns out to be. About rare states it errs more.',
        'What a further demonstration is worth assumes that it goes as the one that began there did, and that what is '
        'not known falls as one over their number.',
        'Suspects are unusual by numbers. A good demonstration of a rare situation is unusual too.',
    ]


def _actions(chunk: int) -> str:
    return f'{chunk} actions' if chunk > 1 else 'one action'


def _reasons(row: Mapping[str, Any]) -> str:
    return ' '.join(reason['sentence'] for reason in row['reasons'])


def percent(share: float | None, digits: int = 0) -> str:
    """'12 %', and a dash for nothing."""
    return '–' if share is None else f'{100 * share:.{digits}f} %'
