"""The evidence's tables as Markdown, to be pasted where results are written down."""

from typing import Any

from launch.evidence import cells


def text(found: dict[str, Any]) -> str:
    """All tables, each below its title and above what is said of it."""
    parts = []
    for table in cells.tables(found):
        lines = [table.header, ['---'] * len(table.header), *table.rows]
        parts.append(f'### {table.title}\n\n' + '\n'.join(_line(cells_) for cells_ in lines) + f'\n\n{table.under}\n')
    return '\n'.join(parts)


def _line(cells_: list[str]) -> str:
    return '| ' + ' | '.join(cell.replace('|', '\\|') for cell in cells_) + ' |'
