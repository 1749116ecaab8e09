"""What Progress prints where stdout and stderr are files, and how a bar counts."""

import re

from launch import progress


def test_a_stage_that_runs_long_has_a_line_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(progress, 'QUIET_SECONDS', 0.0)
    shown = progress.Progress(2)
    shown.stage('posterior')
    shown.begin(4)
    shown.chunk(0, 4, {})
    shown.chunk(1, 4, {'loss': 0.5, 'success': 0.25, 'compile_seconds': 0.0, 'other': 1.0})
    shown.chunk(2, 4, {'loss': 0.25})
    shown.say('done')
    out, err = capsys.readouterr()
    assert re.fullmatch(r'\[1/2\] posterior: done \(\d+ s\)\n', out)
    first, second = err.splitlines()
    assert re.fullmatch(r'\[1/2\] posterior  25%, \d\d:\d\d so far, ETA \d\d:\d\d, loss=0\.5, success=0\.25', first)
    assert re.fullmatch(r'\[1/2\] posterior  50%, \d\d:\d\d so far, ETA \d\d:\d\d, loss=0\.25', second)


def test_a_short_stage_has_one_line(capsys):
    shown = progress.Progress(5)
    for name in ('posterior', 'policies'):
        shown.stage(name)
        shown.begin(2)
        shown.chunk(0, 2, {})
        shown.chunk(1, 2, {'loss': 1.0, 'compile_seconds': 3.0})
        shown.chunk(2, 2, {'loss': 1.0})
        shown.say('done')
    out, err = capsys.readouterr()
    assert [line[:16] for line in out.splitlines()] == ['[1/5] posterior:', '[2/5] policies: ']
    assert err == ''


def test_what_an_earlier_run_did_and_compiling_are_no_speed(capsys, monkeypatch):
    """Resumed at 90 of 100; 20 s of compiling, then a chunk of 2 s: the 9 chunks left take 18 s."""
    now = 1000.0
    monkeypatch.setattr(progress, 'QUIET_SECONDS', 1.0)
    shown = progress.Progress(5)
    shown.stage('pretrain')
    shown.begin(100)
    shown._bar._time = lambda: now
    shown._bar.start_t = shown._bar.last_print_t = now
    shown.chunk(90, 100, {})
    now += 22.0
    shown.chunk(91, 100, {'loss': 1.0, 'compile_seconds': 20.0})
    assert 'ETA 00:18' in capsys.readouterr().err
    now += 32.0  # a second program, after a warm-up
    shown.chunk(92, 100, {'loss': 1.0, 'compile_seconds': 30.0})
    assert 'ETA 00:16' in capsys.readouterr().err
