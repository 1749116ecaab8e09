"""The method's theorems measured in finite MDPs: rows, figures and a page from experiments/theory.py's settings.

Beside the pipeline, which it shares nothing with but the method: all of it is posterior/'s tabular closed forms.
`python -m launch.theory --workdir=DIR`.
"""

import json
from pathlib import Path

from ml_collections import ConfigDict

from launch.report import figures
from launch.theory import page, panels, studies
from postbc_jax import atomic, metrics


def run(config: ConfigDict, workdir: Path) -> Path:
    """Measures everything; writes results.jsonl, findings.jsonl, config.json, figures/ and report.html.

    Returns:
      The path of report.html.

    Raises:
      ValueError: a setting that cannot be measured, or a work directory that holds something else.
    """
    if config.get('experiment') != 'theory':
        raise ValueError(
            f'config.experiment={config.get("experiment")!r}: launch.theory runs experiments/theory.py alone'
        )
    file = workdir / 'config.json'
    if file.exists() and json.loads(file.read_text()).get('experiment') != 'theory':
        raise ValueError(f'--workdir={workdir}: holds another experiment: give the theory a directory of its own')
    found = studies.run(config)
    pictures = panels.draw(found)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f'--workdir={workdir}: cannot be made ({error.strerror})') from None
    atomic.write(file, json.dumps(config.to_dict(), indent=1) + '\n')
    metrics.write(workdir / 'results.jsonl', [studies.row(one) for one in found.measured])
    metrics.write(workdir / 'findings.jsonl', found.findings)
    figures.save(workdir / 'figures', pictures)
    atomic.write(workdir / 'report.html', page.render(found, pictures))
    return workdir / 'report.html'
