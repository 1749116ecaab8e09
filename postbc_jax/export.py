"""A trained policy as one StableHLO file that jax alone can run: what a robot's computer gets.

The end of the pipeline: reads a policy of any stage, gives NAME.stablehlo, weights inside, and NAME.json, what it says.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import postbc_jax
from postbc_jax import atomic
from postbc_jax.policies import Policy

PLATFORMS = ('cpu', 'cuda', 'tpu')


def export(
    policy: Any, directory: str | os.PathLike, about: Mapping[str, Any] | None = None, name: str = 'policy'
) -> pathlib.Path:
    """Writes NAME.stablehlo and NAME.json into the directory, which is made where it is missing.

    The artifact is a function (obs (B, O) float32, seed () uint32) -> chunks (B, T, A) float32, both in the
    environment's own units, at any B, on every one of PLATFORMS. A seed rather than noise or a key: a robot's loop
    counts its decisions, and a policy that draws nothing ignores it. Row i draws what fold_in(key(seed), i) draws, so a
    decision can be repeated, and the rows of a batch are independent. Products are of full float32 precision on every
    platform; actions are not clipped. Read back with jax.export.deserialize(file's bytes).call.

    A guarded policy's gives (chunks, said): said (B, F) float32 is what its guard says of each decision, in the columns
    that NAME.json lists under 'said'.

    Args:
      policy: ONE learner's, called as policy(obs (O,), key) -> (chunk (T, A), extras): policies.Policy, or a struct
        dataclass that holds one (finetune.steer.SteeredPolicy), whose sizes and scaling are then its.
      directory: where to write.
      about: JSON-able; what else is known of the policy ('label', 'env', 'obs_keys').
      name: of the two files.

    Returns:
      The path of NAME.stablehlo.

    Raises:
      ValueError: the policy is a stack of several learners', holds no policies.Policy, or has numbers that are not
        finite; `about` has an entry that this function writes itself.
    """
    base = _base(policy)
    if np.ndim(base.normaliser.obs_low) != 1:
        shape = np.shape(base.normaliser.obs_low)
        raise ValueError(f'policy: a stack of {shape[0]} learners, normaliser {shape}: export one of them at a time')
    for path, leaf in jax.tree_util.tree_leaves_with_path(policy):
        if not np.isfinite(np.asarray(leaf)).all():
            raise ValueError(f'policy: {jax.tree_util.keystr(path)} is not finite: export a policy that was trained')
    (batch,) = jax.export.symbolic_shape('batch')
    obs = jax.ShapeDtypeStruct((batch, base.config.obs_size), jnp.float32)
    with jax.default_matmul_precision('highest'):
        exported = jax.export.export(jax.jit(program(policy)), platforms=PLATFORMS)(
            obs, jax.ShapeDtypeStruct((), 'uint32')
        )
    content = _describe(base, type(policy).__name__, exported)
    guarded = jax.eval_shape(policy, jax.ShapeDtypeStruct(obs.shape[1:], obs.dtype), jax.random.key(0))[1].get('guard')
    if guarded:
        content['said'] = {'shape': ['batch', len(guarded)], 'dtype': 'float32', 'columns': sorted(guarded)}
    clash = content.keys() & (about or {}).keys()
    if clash:
        raise ValueError(f'about={sorted(clash)[0]!r}: is written by export itself: give it another name')
    folder = pathlib.Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f'{name}.stablehlo'
    atomic.write(file, bytes(exported.serialize()))
    atomic.write(folder / f'{name}.json', json.dumps(content | dict(about or {}), indent=1, allow_nan=False) + '\n')
    return file


def program(policy: Any) -> Callable[[jax.Array, jax.Array], Any]:
    """The function (obs (B, O), seed ()) that export writes, of ONE learner's policy, for jit.

    What a guard says is one array: every output of a compiled call costs the caller some microseconds."""
    policy = jax.tree.map(jnp.asarray, policy)

    def decision(obs, key):
        chunk, extras = policy(obs, key)
        said = extras.get('guard')
        return (chunk, jnp.stack([said[name].astype(jnp.float32) for name in sorted(said)])) if said else chunk

    def act(obs, seed):
        key = jax.random.key(seed, impl='threefry2x32')  # whatever the robot's own default is
        keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(jnp.arange(obs.shape[0]))
        return jax.vmap(decision)(obs, keys)

    return act


def _base(policy: Any) -> Policy:
    """The Policy that a policy is or holds, at any depth."""
    waiting = [policy]
    for node in waiting:  # grows: breadth first
        if isinstance(node, Policy):
            return node
        if dataclasses.is_dataclass(node):
            waiting += [getattr(node, field.name) for field in dataclasses.fields(node)]
    raise ValueError(f'policy: {type(policy).__name__} holds no policies.Policy, whose sizes would say what it takes')


def _describe(base: Policy, kind: str, exported: jax.export.Exported) -> dict[str, Any]:
    """What somebody without this project needs to know to call the artifact."""
    config, scaling = base.config, base.normaliser
    return {
        'kind': kind,
        'family': config.family,
        'inputs': {
            'obs': {'shape': ['batch', config.obs_size], 'dtype': 'float32', 'units': "the environment's"},
            'seed': {'shape': [], 'dtype': 'uint32', 'units': 'another for every decision; the same repeats it'},
        },
        'output': {
            'shape': ['batch', config.chunk, config.action_size],
            'dtype': 'float32',
            'units': "the environment's; not clipped",
        },
        'obs_size': config.obs_size,
        'chunk': config.chunk,
        'action_size': config.action_size,
        'demonstrated': {
            name: np.asarray(getattr(scaling, name)).tolist()
            for name in ('obs_low', 'obs_high', 'action_low', 'action_high')
        },
        'platforms': list(exported.platforms),
        'versions': {
            'postbc_jax': postbc_jax.__version__,
            'jax': jax.__version__,
            'calling_convention': exported.calling_convention_version,
        },
    }
