"""Plain language: numbers as text, and the verdict that the numbers allow.

A difference is called one only where its interval excludes 0; everything else is said to be undecided, not equal.
"""

from typing import Any, NamedTuple

import numpy as np

from launch.report import compare
from launch.report.arms import bc, partner
from launch.report.compare import Comparison, Estimate
from launch.report.sections import Section

UNEQUAL = 0.1  # a matched arm whose played noise differs by a larger share is said to


class Sentence(NamedTuple):
    """tone: 'up', 'down', 'open' (undecided), 'warn' or 'note'; short, bold; text, the rest."""

    tone: str
    short: str
    text: str


def number(value: float | None, digits: int = 2) -> str:
    """0.31, a true minus sign, and a dash for nothing."""
    if value is None or np.isnan(value):
        return '–'
    if np.isinf(value):
        return 'never'
    return f'{value:.{digits}f}'.replace('-', '−')


def signed(value: float, digits: int = 2) -> str:
    return ('+' if value >= 0 else '') + number(value, digits)


def steps(value: float) -> str:
    """12k, 1.2M."""
    if not np.isfinite(value):
        return number(value)
    for size, letter in ((1e6, 'M'), (1e3, 'k')):
        if value >= size:
            return f'{value / size:.3g}{letter}'
    return f'{value:.0f}'


def parameter(value: Any) -> str:
    """A setting's value: 0.0003, 96, 96, and 'none' where there is none."""
    if value is None:
        return 'none'
    if isinstance(value, list | tuple):
        return ', '.join(map(parameter, value)) or '()'
    return f'{value:.4g}' if isinstance(value, float) else str(value)


def bracket(estimate: Estimate, write=number) -> str:
    return f'[{write(estimate.low)}, {write(estimate.high)}]' if estimate.known else ''


def verdict(section: Section) -> list[Sentence]:
    """What a reader may conclude, most important first."""
    sentences = []
    base, final = bc(section.arms), compare.finals(section)
    posterior = [arm for arm in section.arms if arm.pretrain == 'post_bc']
    for arm in posterior:
        if base is not None and section.curves:
            sentences.append(_compared(compare.paired(arm, base, final), f'Finetuned, {arm.name} against BC'))
    for arm in posterior:
        other = partner(arm, section.arms)
        if section.curves and other is not None:
            found = _compared(
                compare.paired(arm, other, final), f'{arm.name} against isotropic noise of the same size', vs=other.name
            )
            sentences.append(found._replace(text=f'{found.text} {_SHAPE[found.tone]}'))
        elif section.curves:
            text = (
                'There is no σ-BC arm of the same noise rms: a gain cannot be credited to the shape of the posterior.'
            )
            sentences.append(Sentence('note', f'{arm.name}: no matched arm.', text))
    n = compare.coverage_n(section)
    for arm in posterior:
        if base is None:
            break
        before = _compared(compare.paired(arm, base, section.pretrained), f'Before finetuning, {arm.name} against BC')
        cover = compare.paired(arm, base, compare.coverage_at(section, 'all', n)) if n else None
        if cover is not None:
            before = before._replace(
                text=f'{before.text} Best of {n} attempts from one start: {_numbers(cover)}{_undecided(cover)}.'
            )
        sentences.append(before)
    return [sentence for sentence in [*sentences, *_calibrated(section), *_noise(section)] if sentence.short]


_SHAPE = {
    'up': 'The shape of the noise matters here, not only its size.',
    'down': 'Here the shape of the noise does not help.',
    'open': 'A gain over BC cannot yet be credited to the shape of the posterior.',
    'note': '',
}


def _compared(found: Comparison | None, what: str, vs: str = 'BC') -> Sentence:
    if found is None:
        return Sentence('note', '', '')
    difference, n = found.difference, found.difference.n
    numbers = _numbers(found)
    if n == 1:
        return Sentence('open', f'{what}: one seed.', f'{numbers}. One seed has no interval: nothing can be concluded.')
    text = f'{numbers}; higher in {found.wins} of {n} paired seeds.'
    if difference.low > 0:
        return Sentence('up', f'{what}: higher.', f'{text} The interval excludes 0.')
    if difference.high < 0:
        return Sentence('down', f'{what}: lower.', f'{text} The interval excludes 0.')
    return Sentence('open', f'{what}: undecided.', f'{text} The interval includes 0{_why(n)}.')


def _undecided(found: Comparison) -> str:
    difference = found.difference
    return ': undecided' if difference.known and difference.low <= 0 <= difference.high else ''


def _why(n: int) -> str:
    factor = {2: '12.7', 3: '4.3', 4: '3.2'}.get(n)
    return f': with {n} seeds it reaches {factor} standard errors to either side' if factor else ''


def _numbers(found: Comparison) -> str:
    difference = found.difference
    interval = f', 95% interval {bracket(difference, signed)}' if difference.known else ''
    return f'{number(found.a_mean)} against {number(found.b_mean)}, {signed(difference.value)}{interval}'


def _calibrated(section: Section) -> list[Sentence]:
    """What held-out demonstrations say: the alpha that they support, and arms whose noise they do not."""
    units = next(iter(section.calibration.values()), {})
    alphas = [row['alpha_auto'] for row in units.values()]
    if not alphas:
        return []
    mean = f'α {number(float(np.mean(alphas)))} on average ({", ".join(map(number, alphas))} by seed).'
    sentences = [Sentence('note', 'Noise that held-out demonstrations support:', mean)]
    each = [row.get('alpha_by_dimension') or [] for row in units.values()]
    known = [[row[i] for row in each if row[i] is not None] for i in range(min(map(len, each)))]
    if sum(map(bool, known)) > 1:
        apart = ', '.join(number(float(np.mean(values))) if values else '–' for values in known)
        text = f'{apart} (mean over seeds). Where they are far apart, the one α is a compromise that may fit none.'
        sentences.append(Sentence('note', 'By action dimension alone it would be α', text))
    for found, says in (
        ('nil', 'BC alone is as broad as the demonstrations: they support no noise (nil).'),
        ('most', 'even the largest α tried is too narrow: BC errs where the ensemble does not disagree.'),
    ):
        count = sum(row.get('found') == found for row in units.values())
        if count:
            sentences.append(Sentence('warn', f'At {count} of {len(alphas)} seeds:', says))
    for found in compare.reliability(section):
        # a matched arm's noise is of its partner's size, and an alpha of 0 is BC
        noised = found.arm.pretrain == 'post_bc' and compare.average(section, found.arm, 'alpha') != 0
        if found.verdict != 'sound' and (noised or found.arm.pretrain == 'bc'):
            what = 'its noise' if found.arm.pretrain == 'post_bc' else 'without any noise it'
            inside = found.at(0.8)
            text = (
                f'The ranges that should hold 80 % of actions of demonstrations it had not seen held '
                f'{100 * inside.value:.0f} %; mean excess {signed(found.excess.value)} {bracket(found.excess, signed)}.'
            )
            tone, wrong = ('warn', 'broader') if found.verdict == 'too broad' else ('note', 'narrower')
            short = f'{found.arm.name}: {what} is {wrong} than the demonstrations support.'
            sentences.append(Sentence(tone, short, text))
    return sentences


def _noise(section: Section) -> list[Sentence]:
    sentences = []
    for arm in section.arms:
        over = profile(section, arm)
        if arm.pretrain == 'post_bc' and over is not None and over.max() > 0:
            small, large = over.min(), over.max()
            where = 'late' if over.argmax() > over.argmin() else 'early'
            ratio = f'{large / small:.1f} times as much' if small > 0 else 'from nothing'
            text = (
                f'rms {number(small)} where smallest, {number(large)} where largest ({where} in the episode): {ratio}.'
            )
            sentences.append(Sentence('note', f'{arm.name} places its noise:', text))
    loud = [(arm, compare.average(section, arm, 'rms')) for arm in section.arms]
    loud = [f'{arm.name} {number(rms)}' for arm, rms in loud if rms is not None and rms > compare.WARN_RMS]
    if loud:
        text = f'{"; ".join(loud)}. Above this, pretrained success fell in earlier studies: read the pretrained column.'
        sentences.append(Sentence('note', f'Noise above {compare.WARN_RMS} action units rms:', text))
    return [*sentences, *_played(section)]


def _played(section: Section) -> list[Sentence]:
    """How much noise the policies play of what they were trained on, and whether matched arms still match."""
    found = {arm: compare.average(section, arm, 'rms_played') for arm in section.arms}
    found = {arm: rms for arm, rms in found.items() if rms is not None}
    if not found:
        return []
    each = (f'{arm.name} {number(rms)} of {number(compare.average(section, arm, "rms"))}' for arm, rms in found.items())
    text = f'{", ".join(each)}.'
    for arm in found:
        other = partner(arm, section.arms)
        if other in found and found[arm] > 0 and abs(found[other] / found[arm] - 1) > UNEQUAL:
            share = found[other] / found[arm]
            text += f' {other.name} plays {number(share)} times as much as {arm.name}: matched in training only.'
    return [Sentence('note', 'Noise played of that trained on, rms:', text)]


def profile(section: Section, arm) -> np.ndarray | None:
    """rms over the parts of the episode, mean over seeds (bins,); None where it was not written alike for all."""
    rows = [row.get('rms_over_time') for row in section.noise.get(arm, {}).values()]
    rows = [row for row in rows if isinstance(row, list) and row and all(isinstance(x, (int, float)) for x in row)]
    if not rows or len({len(row) for row in rows}) > 1:
        return None
    return np.mean(rows, axis=0)
