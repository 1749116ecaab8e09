"""metrics.py: strict JSON, half-written lines, rewinding, and TensorBoard's event files."""

import json
import math
import struct

import jax.numpy as jnp
import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from postbc_jax import metrics


def test_rows_come_back_as_they_were_written(tmp_path):
    path = tmp_path / 'deep' / 'metrics.jsonl'
    writer = metrics.JsonLines(path)
    rows = [
        {'stage': 'pretrain', 'chunk': 1, 'loss': 0.25, 'matched': True, 'regions': {'rare': 0.5}, 'n': [1, 2]},
        {'stage': 'pretrain', 'chunk': 2, 'note': 'a "quoted"\nline', 'nothing': None},
    ]
    for row in rows:
        writer.append(row)
    assert metrics.read(path) == rows  # before close: every row is flushed at once
    writer.close()
    assert metrics.read(path) == rows
    assert path.read_bytes().count(b'\n') == 2


def test_arrays_become_plain_numbers_with_the_fewest_digits(tmp_path):
    writer = metrics.JsonLines(tmp_path / 'm.jsonl')
    values = [np.float32(0.1), jnp.float32(1 / 3), np.float64(1 / 3), np.int32(7), np.bool_(True), jnp.bfloat16(0.5)]
    writer.append({str(i): value for i, value in enumerate(values)} | {'v': jnp.arange(2.0), 'm': np.eye(2)})
    text = (tmp_path / 'm.jsonl').read_text()
    assert '"0": 0.1,' in text
    row = json.loads(text)
    assert np.float32(row['1']) == np.float32(1 / 3)
    assert row['2'] == 1 / 3
    assert row['3'] == 7 and row['4'] is True and row['5'] == 0.5
    assert row['v'] == [0.0, 1.0] and row['m'] == [[1.0, 0.0], [0.0, 1.0]]


def test_numbers_that_are_not_finite_are_null(tmp_path):
    writer = metrics.JsonLines(tmp_path / 'm.jsonl')
    writer.append({'a': math.nan, 'b': np.float32('inf'), 'c': [jnp.nan, 1.0]})
    assert metrics.read(tmp_path / 'm.jsonl') == [{'a': None, 'b': None, 'c': [None, 1.0]}]


def test_a_row_cannot_hold_an_object(tmp_path):
    writer = metrics.JsonLines(tmp_path / 'm.jsonl')
    with pytest.raises(ValueError, match='m.jsonl: a row cannot hold a set'):
        writer.append({'a': {1, 2}})
    assert metrics.read(tmp_path / 'm.jsonl') == []


def test_rewind_drops_rows_and_keeps_the_bytes_of_the_rest(tmp_path):
    path = tmp_path / 'm.jsonl'
    path.write_bytes(b'{"stage":  "a", "chunk": 1}\n{"stage": "b", "chunk": 9}\n{"stage": "a", "chunk": 2}\n')
    writer = metrics.JsonLines(path)
    writer.rewind(lambda row: row['stage'] != 'a' or row['chunk'] <= 1)
    assert path.read_bytes() == b'{"stage":  "a", "chunk": 1}\n{"stage": "b", "chunk": 9}\n'
    writer.append({'stage': 'a', 'chunk': 2})
    assert [row['chunk'] for row in metrics.read(path)] == [1, 9, 2]
    assert [entry.name for entry in tmp_path.iterdir()] == ['m.jsonl']


def test_a_failing_rewind_leaves_the_file_alone(tmp_path):
    path = tmp_path / 'm.jsonl'
    writer = metrics.JsonLines(path)
    writer.append({'chunk': 1})
    writer.append({})
    before = path.read_bytes()
    with pytest.raises(KeyError):
        writer.rewind(lambda row: row['chunk'] > 1)
    assert path.read_bytes() == before


def test_a_half_written_last_line_is_dropped(tmp_path):
    path = tmp_path / 'm.jsonl'
    path.write_bytes(b'{"chunk": 1}\n{"chunk": 2, "lo')
    assert metrics.read(path) == [{'chunk': 1}]
    writer = metrics.JsonLines(path)
    writer.append({'chunk': 2})
    assert path.read_bytes() == b'{"chunk": 1}\n{"chunk": 2}\n'


@pytest.mark.parametrize('line', [b'{"a": }', b'{"a": NaN}', b'[1]', b'\xff', b''])
def test_reading_names_file_and_line(tmp_path, line):
    path = tmp_path / 'm.jsonl'
    path.write_bytes(b'{"chunk": 1}\n' + line + b'\n{"chunk": 2}\n')
    with pytest.raises(ValueError, match=r'm\.jsonl: line 2 '):
        metrics.read(path)


def test_a_missing_file_or_a_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match='absent.jsonl: cannot be read'):
        metrics.read(tmp_path / 'absent.jsonl')
    with pytest.raises(ValueError, match='is a folder'):
        metrics.JsonLines(tmp_path)


def test_only_process_0_writes(tmp_path, monkeypatch):
    monkeypatch.setattr('jax.process_index', lambda: 1)
    for writer in (metrics.JsonLines(tmp_path / 'm.jsonl'), metrics.TensorBoard(tmp_path / 'events')):
        writer.append({'chunk': 1})
        writer.rewind(lambda row: False)
        writer.sync()
        writer.close()
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_has_one_run_a_learner_and_one_scalar_a_number(tmp_path):
    board = metrics.TensorBoard(tmp_path / 'events')
    lines = metrics.JsonLines(tmp_path / 'm.jsonl')
    writer = metrics.Tee(lines, board)
    for chunk in (1, 2):
        for learner in (0, 1):
            row = {'stage': 'pretrain', 'chunk': chunk, 'step': 100 * chunk, 'learner': learner}
            writer.append(row | {'pretrain': 'bc', 'loss': np.float32(chunk + learner / 2), 'bad': math.nan})
    writer.sync()
    writer.rewind(lambda row: row['chunk'] == 1)
    writer.close()
    assert len(metrics.read(tmp_path / 'm.jsonl')) == 2
    assert sorted(path.name for path in (tmp_path / 'events').iterdir()) == [
        'stage=pretrain-learner=0',
        'stage=pretrain-learner=1',
    ]
    (events,) = (tmp_path / 'events' / 'stage=pretrain-learner=1').iterdir()
    assert list(_scalars(events.read_bytes())) == [
        (100, 'chunk', 1.0),
        (100, 'loss', 1.5),
        (200, 'chunk', 2.0),
        (200, 'loss', 2.5),
    ]


def _scalars(records):
    """(step, tag, value) of an event file: records of length (uint64), its checksum (4), bytes, their checksum (4)."""
    while records:
        (length,) = struct.unpack('<Q', records[:8])
        event = event_pb2.Event.FromString(records[12 : 12 + length])
        yield from ((event.step, value.tag, value.simple_value) for value in event.summary.value)
        records = records[16 + length :]
