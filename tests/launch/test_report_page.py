"""launch.report's page: whole, self-contained, the same when made again, and what it says when files are missing."""

import html.parser
import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from launch.report import arms, compare, figures, make_report, read, tables
from tests.launch.written_runs import NUMBERS, one_section, rewrite, write_run


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    directory = write_run(tmp_path_factory.mktemp('report') / 'run', regions=('dense', 'rare'))
    make_report(directory)
    return directory


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
    assert [row[4:] for row in compare.summaries(section)] == [row[4:] for row in whole]
    assert any('results.jsonl: 1 row(s) left out' in note and 'finetune=None' in note for note in notes)
    assert any('holds a list, not a JSON object: left out' in note for note in notes)
    assert any('is not JSON' in note and 'left out (cut off?)' in note for note in notes)
    assert any('noise.json: not JSON' in note for note in notes)


def test_the_rows_of_a_sweep_that_were_put_together_are_not_read_twice(tmp_path):
    for index in range(2):
        write_run(tmp_path / f'point_{index:04d}', root=index)
    points, notes = read.read(tmp_path)
    (tmp_path / 'results.jsonl').write_text((tmp_path / 'point_0000' / 'results.jsonl').read_text())
    assert read.read(tmp_path) == (points, notes) and [point.name for point in points] == ['point_0000', 'point_0001']


def test_an_empty_directory_has_a_page_and_a_missing_one_is_refused(tmp_path):
    assert 'There is nothing to report yet' in make_report(tmp_path).read_text()
    with pytest.raises(ValueError, match='nowhere: no such directory'):
        make_report(tmp_path / 'nowhere')


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
    assert made.returncode == 0 and made.stdout.strip() == f'report: {tmp_path}/report.html'
    assert refused.returncode == 1 and re.fullmatch(r'error: .*nowhere: no such directory.*\n', refused.stderr)


def test_the_baselines_of_bc_have_rows_and_looks_of_their_own(tmp_path):
    """A run whose sigma arms are another's."""
    directory = write_run(tmp_path / 'run')
    others = {0.2: {'pretrain': 'bc_dropout', 'dropout': 0.1}, 1.0: {'pretrain': 'weighted_bc', 'beta': 0.5}}

    def renamed(row):
        other = others.get(row['matched_alpha'] or row['sigma'], {})
        return row | ({'sigma': 0.0, 'matched_alpha': 0.0} | other if other else {})

    for name in ('results.jsonl', 'coverage.jsonl'):
        rewrite(directory, name, renamed)
    scales = json.loads((directory / 'noise.json').read_text())
    (directory / 'noise.json').write_text(json.dumps([renamed(row) for row in scales]))
    section, notes = one_section(directory)
    assert notes == [] and [arm.name for arm in section.arms] == [
        'BC',
        'BC dropout 0.1',
        'weighted BC β=0.5',
        'PostBC α=1',
    ]
    looks = arms.styles(section.arms)
    assert len({look.light for look in looks.values()}) == 4
    text = make_report(directory).read_text()
    assert 'BC dropout 0.1' in text and 'weighted BC β=0.5' in text


def test_every_marker_can_be_drawn():
    assert {look[2] for looks in arms.LOOKS.values() for look in looks} <= tables._MARKER.keys()
