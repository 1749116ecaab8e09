"""launch.report: from synthetic work directories whose answers are known, to the page."""

import html.parser
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats as scipy_stats

from launch.report import arms, compare, figures, make_report, read, sections, words
from launch.report.arms import Arm

BC = Arm('bc', 0.0, 0.0, False)
POST = Arm('post_bc', 1.0, 0.0, False)
MATCHED = Arm('sigma_bc', 1.0, 0.0, True)
FIXED = Arm('sigma_bc', 0.0, 0.2, False)
# start, end of the finetuning curve, pass@64, noise rms early and late: near what a prototype measured on gate
NUMBERS = {
    BC: (0.27, 0.30, 0.50, 0.0, 0.0),
    FIXED: (0.20, 0.42, 0.60, 0.2, 0.2),
    MATCHED: (0.11, 0.50, 0.62, 0.37, 0.37),
    POST: (0.17, 0.62, 0.74, 0.14, 0.51),
}
STEPS = [0, 100_000, 200_000, 300_000, 400_000]


def write_run(directory, seeds=3, shift=0.0, evaluations=5, noise=0.04, finetune_seeds=1, regions=('all',), root=0):
    """A work directory as launch.run leaves it. shift: added to PostBC's end in every seed."""
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(root)
    results, coverage, scales = [], [], []
    for seed in range(seeds):
        luck = rng.normal(0, noise)
        for arm, (start, end, best, early, late) in NUMBERS.items():
            sigma = 0.37 + 0.01 * seed if arm.matched else arm.sigma
            label = {'pretrain': arm.pretrain, 'alpha': arm.alpha, 'sigma': sigma, 'matched': arm.matched, 'seed': seed}
            row = {'experiment': 'quickstart', 'task': 'gate'} | label
            bins = np.where(np.arange(10) < 5, early, late) * (1 + 0.1 * rng.normal())
            rms = float(np.sqrt(np.mean(bins**2)))
            scales.append(
                label | {'rms': rms, 'rms_per_dimension': [rms], 'rms_over_time': bins.tolist(), 'clipped_share': 0.1}
            )
            for region in dict.fromkeys(['all', *regions]):
                for n in (1, 4, 16, 64):
                    rate = start + (best - start) * math.log2(n) / 6 + luck / 2 + rng.normal(0, noise / 3)
                    coverage.append(row | {'region': region, 'n': n, 'pass_at_n': rate, 'starts': 128})
            before = float(np.clip(start + luck / 2 + rng.normal(0, noise / 2), 0, 1))
            untouched = {
                'env_steps': 0,
                'success_rate': before,
                'episodes': 512,
                'regions': dict.fromkeys(regions, before),
            }
            results.append(row | untouched | {'finetune': 'none', 'finetune_seed': 0})
            end = end + shift * (arm == POST)
            for finetune_seed in range(finetune_seeds):
                own = rng.normal(0, noise)
                for index, steps in enumerate(STEPS[:evaluations]):
                    rate = start + (end - start) * (index / 4) ** 0.6 + luck + own + rng.normal(0, noise / 4)
                    rate = before if index == 0 else float(np.clip(rate, 0, 1))
                    later = {'env_steps': steps, 'success_rate': rate, 'regions': dict.fromkeys(regions, rate)}
                    results.append(
                        row | later | {'episodes': 512, 'finetune': 'dsrl_ppo', 'finetune_seed': finetune_seed}
                    )
    config = {'experiment': 'quickstart', 'env': 'gate', 'seed': root, 'seeds': seeds, 'finetune': {'chunks': 4}}
    (directory / 'config.json').write_text(json.dumps(config))
    (directory / 'noise.json').write_text(json.dumps(scales))
    for name, rows in (('results', results), ('coverage', coverage)):
        (directory / f'{name}.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    return directory


def one_section(directory):
    points, notes = read.read(directory)
    found, more = sections.build(points)
    assert len(found) == 1
    return found[0], notes + more


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    directory = write_run(tmp_path_factory.mktemp('report') / 'run', regions=('dense', 'rare'))
    make_report(directory)
    return directory


def rewrite(directory, name, change):
    """Applies change(row) to every row of a JSON lines file; rows that become None are dropped."""
    rows = [change(json.loads(line)) for line in (directory / name).read_text().splitlines()]
    (directory / name).write_text(''.join(json.dumps(row) + '\n' for row in rows if row is not None))


def said(directory):
    """The verdict as one text."""
    section, _ = one_section(directory)
    return [f'{sentence.short} {sentence.text}' for sentence in words.verdict(section)]


class Page(html.parser.HTMLParser):
    """Collects what must hold of a page: open tags, ids, references."""

    VOID = frozenset({'meta', 'br', 'link', 'img'})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.outside = [], set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == 'id':
                self.ids.append(value)
            if name in ('src', 'href', 'xlink:href') and not value.startswith('#'):
                self.outside.append(value)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f'</{tag}> does not close what is open'


def test_the_page_is_whole_and_needs_nothing_outside(run):
    text = (run / 'report.html').read_text()
    page = Page(text)
    assert page.open == [] and page.outside == [] and 'script' not in page.tags
    assert 'http' not in text and '@import' not in text
    assert len(page.ids) == len(set(page.ids))
    assert set(re.findall(r'url\(#([^)]+)\)', text)) <= set(page.ids)
    assert set(re.findall(r'xlink:href="#([^"]+)"', text)) <= set(page.ids)
    assert set(re.findall(r'var\((--[\w-]+)\)', text)) <= set(figures.COLOURS)
    assert 'prefers-color-scheme:dark' in text and 'width=device-width' in text
    assert not re.search(r'#[0-9a-f]{6}', text.split('</style>', 1)[1]), 'a colour that would not follow the mode'


def test_every_figure_has_its_table_and_its_files(run):
    text = (run / 'report.html').read_text()
    assert text.count('<figure>') == text.count('<summary>Numbers</summary>') == 6
    names = {'headline', 'noise', 'coverage', 'finetuning', 'differences', 'coverage_dense', 'coverage_rare'}
    assert {file.name for file in (run / 'figures').iterdir()} == {f'{n}.{s}' for n in names for s in ('svg', 'png')}
    for name in names:
        svg = ElementTree.parse(run / 'figures' / f'{name}.svg').getroot()
        assert svg.tag == '{http://www.w3.org/2000/svg}svg'
        assert (run / 'figures' / f'{name}.png').read_bytes()[:8] == b'\x89PNG\r\n\x1a\n'


def test_an_arm_has_one_colour_everywhere_and_no_other_arm_has_it(run):
    looks = arms.styles(list(NUMBERS))
    assert len({look.light for look in looks.values()}) == len({look.dark for look in looks.values()}) == 4
    for name in ('noise', 'coverage', 'finetuning'):
        svg = (run / 'figures' / f'{name}.svg').read_text()
        assert all(figures.variable(look) in svg for look in looks.values())


def test_made_again_it_is_the_same(run):
    before = (run / 'report.html').read_bytes()
    assert make_report(run) == run / 'report.html'
    assert (run / 'report.html').read_bytes() == before


def test_the_main_table_is_what_the_files_say(run):
    rows = [json.loads(line) for line in (run / 'results.jsonl').read_text().splitlines()]

    def rate(arm, steps, finetune):
        chosen = [r for r in rows if arms.arm_of(r) == arm and r['env_steps'] == steps and r['finetune'] == finetune]
        return np.array([r['success_rate'] for r in sorted(chosen, key=lambda r: r['seed'])])

    section, notes = one_section(run)
    assert notes == [] and section.arms == (BC, FIXED, MATCHED, POST)
    found = {row.arm: row for row in compare.summaries(section)}
    after, base = rate(POST, 400_000, 'dsrl_ppo'), rate(BC, 400_000, 'dsrl_ppo')
    t = scipy_stats.ttest_rel(after, base).confidence_interval()
    np.testing.assert_allclose(found[POST].to_bc.difference[:3], ((after - base).mean(), t.low, t.high))
    assert found[POST].finetuned.value == pytest.approx(after.mean()) and found[POST].finetuned.n == 3
    assert found[POST].pretrained.value == pytest.approx(rate(POST, 0, 'none').mean())
    assert found[POST].improvement.value == 1.0 and found[POST].to_bc.wins == 3
    assert found[BC].to_bc is None and found[BC].rms == 0
    text = (run / 'report.html').read_text()
    assert f'+{(after - base).mean():.2f}<small>[+{t.low:.2f}, +{t.high:.2f}]</small>' in text


def test_the_verdict_follows_the_interval(tmp_path):
    clear = said(write_run(tmp_path / 'clear', noise=0.02))
    assert clear[0].startswith('Finetuned, PostBC α=1 against BC: higher.') and 'excludes 0' in clear[0]
    assert 'The shape of the noise matters here' in clear[1]
    assert clear[2].startswith('Before finetuning, PostBC α=1 against BC: lower.')
    level = said(write_run(tmp_path / 'level', shift=-0.32))
    assert level[0].startswith('Finetuned, PostBC α=1 against BC: undecided.') and 'includes 0' in level[0]
    assert 'with 3 seeds it reaches 4.3 standard errors' in level[0]
    worse = said(write_run(tmp_path / 'worse', shift=-0.5, noise=0.02))
    assert worse[0].startswith('Finetuned, PostBC α=1 against BC: lower.')
    assert 'does not help' in worse[1]


def test_level_with_the_matched_arm_is_no_credit_to_the_posterior(tmp_path):
    text = said(write_run(tmp_path / 'run', shift=-0.12))
    assert 'higher' in text[0] and 'undecided' in text[1] and 'cannot yet be credited' in text[1]


def test_no_matched_arm_is_said(tmp_path):
    directory = write_run(tmp_path / 'run')
    rewrite(directory, 'results.jsonl', lambda row: None if row['matched'] else row)
    rewrite(directory, 'coverage.jsonl', lambda row: None if row['matched'] else row)
    (directory / 'noise.json').unlink()
    assert any('There is no σ-BC arm of the same noise rms' in sentence for sentence in said(directory))


def test_one_seed_concludes_nothing(tmp_path):
    directory = write_run(tmp_path / 'run', seeds=1)
    assert 'nothing can be concluded' in said(directory)[0]
    section, _ = one_section(directory)
    row = compare.summaries(section)[0]
    assert row.finetuned.over == 'episodes' and row.finetuned.low < row.finetuned.value < row.finetuned.high
    assert '†' in make_report(directory).read_text()


def test_loud_noise_is_warned_of_and_its_place_is_told(tmp_path):
    sentences = said(write_run(tmp_path / 'run'))
    (warning,) = [s for s in sentences if s.startswith('Noise above 0.15')]
    assert all(arm.name in warning for arm in (FIXED, MATCHED, POST)) and 'BC 0.00' not in warning
    (place,) = [s for s in sentences if 'places its noise' in s]
    assert 'late in the episode' in place and '3.6 times' in place


@pytest.mark.parametrize('missing', ['config.json', 'results.jsonl', 'coverage.jsonl', 'noise.json'])
def test_a_missing_file_is_named_and_the_rest_is_shown(tmp_path, missing):
    directory = write_run(tmp_path / 'run')
    (directory / missing).unlink()
    text = make_report(directory).read_text()
    assert f'<li>{missing}: missing: ' in text and text.count('<figure>') >= 2


def test_broken_rows_are_left_out_and_counted(tmp_path):
    directory = write_run(tmp_path / 'run')
    whole = compare.summaries(one_section(directory)[0])
    with (directory / 'results.jsonl').open('a') as file:
        file.write('{"pretrain": "bc", "alpha": 0, "seed": 0}\n')
        file.write('[]\n{"pretrain": "bc", "alpha": 0.0, "seed": 9, "env_st')
    (directory / 'noise.json').write_text('[{')
    section, notes = one_section(directory)
    assert [row[3:] for row in compare.summaries(section)] == [row[3:] for row in whole]
    assert any('results.jsonl: 2 row(s) left out' in note and 'finetune=None' in note for note in notes)
    assert any('not JSON (cut off?)' in note for note in notes) and any(
        'noise.json: not JSON' in note for note in notes
    )


def test_an_empty_directory_has_a_page_and_a_missing_one_is_refused(tmp_path):
    assert 'There is nothing to report yet' in make_report(tmp_path).read_text()
    with pytest.raises(ValueError, match='nowhere: no such directory'):
        make_report(tmp_path / 'nowhere')


def test_an_unfinished_run_is_compared_where_all_runs_are(tmp_path):
    directory = write_run(tmp_path / 'run')
    late = (POST.pretrain, 1)

    def cut(row):
        return None if (row['pretrain'], row['seed']) == late and row['env_steps'] > 200_000 else row

    rewrite(directory, 'results.jsonl', cut)
    section, notes = one_section(directory)
    assert all(curves.steps[-1] == 200_000 for curves in section.curves.values())
    assert 'gate: finetuning has been evaluated 2 of 4 times: not finished' in notes


def test_runs_whose_steps_differ_meet_by_interpolation_and_start_untouched(tmp_path):
    directory = write_run(tmp_path / 'run')

    def stretch(row):
        if row['finetune'] == 'none':
            return row
        if row['env_steps'] == 0:
            return None  # the curve's start then comes from the row of the untouched policy
        return row | {'env_steps': row['env_steps'] * 2} if row['pretrain'] == 'bc' else row

    plain = one_section(directory)[0].curves[BC]
    rewrite(directory, 'results.jsonl', stretch)
    section, _ = one_section(directory)
    curves = section.curves[BC]
    np.testing.assert_array_equal(curves.steps, STEPS)
    np.testing.assert_allclose(curves.success[:, 0], list(section.pretrained[BC].values()))
    np.testing.assert_allclose(curves.success[:, 2], plain.success[:, 1])
    np.testing.assert_allclose(curves.success[:, 3], plain.success[:, 1:3].mean(1))


def test_finetuning_seeds_are_averaged_before_anything_else(tmp_path):
    directory = write_run(tmp_path / 'run', finetune_seeds=2)
    rows = [json.loads(line) for line in (directory / 'results.jsonl').read_text().splitlines()]
    last = [r['success_rate'] for r in rows if arms.arm_of(r) == POST and r['env_steps'] == 400_000 and r['seed'] == 2]
    section, _ = one_section(directory)
    assert len(last) == 2 and section.curves[POST].final()['', 2] == pytest.approx(np.mean(last))
    assert compare.summaries(section)[-1].finetuned.n == 3


def test_points_that_differ_in_their_root_seed_are_pooled_and_others_are_sections(tmp_path):
    for index in range(2):
        write_run(tmp_path / f'point_{index:04d}', seeds=2, root=index)
    section, _ = one_section(tmp_path)
    assert len(section.pretrained[BC]) == 4
    file = tmp_path / 'point_0001' / 'config.json'
    file.write_text(json.dumps(json.loads(file.read_text()) | {'pretrain': {'steps': 500}}))
    found, _ = sections.build(read.read(tmp_path)[0])
    assert [s.title for s in found] == ['gate, pretrain.steps=unset', 'gate, pretrain.steps=500']
    assert compare.aggregate(found) == []  # two settings of one task have no common mean


def test_tasks_are_aggregated_by_iqm(tmp_path):
    for index, task in enumerate(('gate', 'lift')):
        directory = write_run(tmp_path / f'point_{index:04d}', root=index)
        rewrite(directory, 'results.jsonl', lambda row, task=task: row | {'task': task})
    found, _ = sections.build(read.read(tmp_path)[0])
    by_arm = {one.arm: one for one in compare.aggregate(found)}
    values = np.sort([v for section in found for v in section.curves[POST].final().values()])
    assert by_arm[POST].iqm.value == pytest.approx(values[1:-1].mean()) and by_arm[POST].tasks == 2


def test_text_from_files_is_escaped(tmp_path):
    directory = write_run(tmp_path / 'run', seeds=2, regions=('<i>a', '<i>b'))
    config = json.loads((directory / 'config.json').read_text()) | {'experiment': '<script>x</script>'}
    (directory / 'config.json').write_text(json.dumps(config))
    page = Page(make_report(directory).read_text())
    assert page.open == [] and not {'script', 'i'} & page.tags


def test_the_command_makes_it_and_refuses_in_one_line(tmp_path):
    def call(workdir):
        command = [sys.executable, '-m', 'launch.report', f'--workdir={workdir}']
        return subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)

    made, refused = call(tmp_path), call(tmp_path / 'nowhere')
    assert made.returncode == 0 and made.stdout.strip() == str(tmp_path / 'report.html')
    assert refused.returncode == 1 and re.fullmatch(r'error: .*nowhere: no such directory.*\n', refused.stderr)
