"""One table over all settings: table.csv, and table.parquet where pyarrow is there. A row an arm of a setting.

Beside the page, for whoever reads results with tools of their own.
"""

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from launch.report import compare
from launch.report.compare import Estimate
from launch.report.sections import Section
from launch.report.trials import Trial, trials
from postbc_jax import atomic

Row = dict[str, Any]


def rows(sections: Sequence[Section]) -> list[Row]:
    """The table: where it was measured, the settings in which points differ, the arm, its success, with 95% intervals.

    'point' names the directories, 'NAME#I' the I-th setting of one run. A bound is None where one seed allows no
    interval; of one seed it is Wilson's over its episodes, and 'interval' says so.
    """
    return _alike([_row(trial) for section in sections for trial in trials(section)])


def _row(trial: Trial) -> Row:
    section = trial.section
    known = trial.finetuned or trial.pretrained
    return {
        'point': ', '.join(section.points),
        'task': section.task,
        'finetune': section.algorithm or 'none',
        **section.setting,
        'arm': trial.arm.name,
        **trial.arm._asdict(),
        **_of_seeds(trial),
        **_columns('pretrained', trial.pretrained),
        **_columns('finetuned', trial.finetuned),
        'interval': known.over if known else None,
        'seeds': known.n if known else 0,
        'env_steps': trial.env_steps,
    }


def _of_seeds(trial: Trial) -> Row:
    """Of the numbers that a rule chooses at each seed, their mean."""
    names = ('alpha', 'matched_alpha') if trial.arm.alpha_by else ()
    return {name: compare.average(trial.section, trial.arm, name) for name in names}


def _columns(name: str, estimate: Estimate | None) -> Row:
    value, low, high = estimate[:3] if estimate else (None,) * 3
    return {
        column: None if number is None or math.isnan(number) else number
        for column, number in ((name, value), (f'{name}_low', low), (f'{name}_high', high))
    }


def _alike(table: list[Row]) -> list[Row]:
    """Every column of one type: lists, and values of several types, as JSON text."""
    names = list(dict.fromkeys(name for row in table for name in row))
    columns = {name: [row.get(name) for row in table] for name in names}
    for name, values in columns.items():
        kinds = {type(value) for value in values if value is not None}
        if kinds == {int, float}:
            columns[name] = [None if value is None else float(value) for value in values]
        elif len(kinds) > 1 or kinds - {bool, int, float, str}:
            columns[name] = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def write(workdir: Path, sections: Sequence[Section]) -> list[Path]:
    """Writes table.csv, and table.parquet where pyarrow can be imported; returns what was written."""
    table = rows(sections)
    text = io.StringIO()
    writer = csv.DictWriter(text, table[0], lineterminator='\n')
    writer.writeheader()
    writer.writerows(table)
    atomic.write(workdir / 'table.csv', text.getvalue())
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        (workdir / 'table.parquet').unlink(missing_ok=True)  # of an earlier report: it would say something else
        return [workdir / 'table.csv']
    binary = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(table), binary)
    atomic.write(workdir / 'table.parquet', binary.getvalue())
    return [workdir / 'table.csv', workdir / 'table.parquet']
