"""The report's table of decisions by context: pooled by hand, and absent where nothing was counted."""

from launch.arms import Arm
from launch.report import make_report
from launch.report.decided import numbers
from postbc_jax import metrics
from tests.launch.written_runs import write_run

BC, POST = Arm('bc'), Arm('post_bc', alpha=1.0)


def said(decisions, outside, episodes, success):
    return {'decisions': decisions, 'outside': outside, 'strange': 0.0, 'episodes': episodes, 'success_rate': success}


def test_rows_are_pooled_by_decisions_and_episodes():
    before = {BC: {'gate': [said(10, 0.1, 4, 0.5), said(30, 0.3, 1, 1.0)]}, POST: {'routine': [said(5, 0.2, 2, 0.0)]}}
    unguarded = {name: value for name, value in said(8, 0, 2, 0.5).items() if name not in ('outside', 'strange')}
    header, rows = numbers(before, {BC: {'gate': [unguarded]}}, (POST, BC))
    assert header[:5] == ['Arm', 'Context', 'Outside', 'Strange', 'Success'] and len(header) == 8
    assert rows == [
        ['PostBC α=1', 'routine', '20.0 %', '0.0 %', '0.00', '–', '–', '–'],
        ['BC', 'gate', '25.0 %', '0.0 %', '0.60', '–', '–', '0.50'],
    ]


def test_the_page_has_it_where_decisions_were_counted(tmp_path):
    write_run(tmp_path, seeds=1)
    assert 'Decisions by context' not in make_report(tmp_path).read_text()
    found = metrics.read(tmp_path / 'results.jsonl')
    metrics.write(
        tmp_path / 'results.jsonl', [row | {'contexts': {'<gate>': said(10, 0.125, 4, 0.5)}} for row in found]
    )
    page = make_report(tmp_path).read_text()
    assert 'Decisions by context' in page and '&lt;gate&gt;</td><td>12.5 %' in page
