"""Demonstrations for the tests of the data room: three short episodes, two observation keys."""

import json

import numpy as np
import pytest

from postbc_jax.types import Demos


@pytest.fixture
def demos() -> Demos:
    rng = np.random.default_rng(0)
    lengths = [5, 3, 7]
    n = sum(lengths)
    return Demos(
        obs=rng.normal(size=(n, 5)).astype(np.float32),
        actions=rng.uniform(-1, 1, (n, 2)).astype(np.float32),
        rewards=rng.uniform(size=n).astype(np.float32),
        dones=rng.integers(0, 2, n).astype(np.float32),
        episode=np.repeat(np.arange(3, dtype=np.int32), lengths),
        names=('demo_0', 'demo_2', 'demo_10'),
        operators=('ann', '', 'bo'),
        obs_keys=(('position', 3), ('context', 2)),
        env_args=json.dumps({'env_name': 'gate', 'env_version': '1', 'type': 2, 'env_kwargs': {}}),
    )


@pytest.fixture
def same():
    """Asserts that two Demos are the same, bit for bit."""

    def check(a: Demos, b: Demos) -> None:
        for key in ('obs', 'actions', 'rewards', 'dones', 'episode'):
            x, y = (np.asarray(getattr(d, key)) for d in (a, b))
            assert (x.dtype, x.shape) == (y.dtype, y.shape), key
            assert x.tobytes() == y.tobytes(), key
        for key in ('names', 'operators', 'obs_keys', 'env_args'):
            assert getattr(a, key) == getattr(b, key), key

    return check


@pytest.fixture
def refusal():
    """Asserts that a format refuses to load a path in one line that names the path and every word."""

    def check(form, path, *words: str, **kwargs) -> None:
        with pytest.raises(ValueError) as error:
            form.load(path, **kwargs)
        line = str(error.value)
        assert '\n' not in line
        for word in (str(path), *words):
            assert word in line, f'{word!r} is not in {line!r}'

    return check
