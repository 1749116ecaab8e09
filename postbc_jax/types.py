"""The data structures that pass between the stages of the pipeline.

Demos -> posterior -> policy -> finetune -> evaluate. Imports nothing of the project, so that every room can import it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import struct

Array = jax.Array | np.ndarray
Key = jax.Array  # a typed key, as made by jax.random.key
Params = Any  # a pytree of arrays
Metrics = dict[str, jax.Array]


@struct.dataclass
class Demos:
    """Demonstrations as flat arrays over all N steps of all E episodes, in order.

    Attributes:
      obs: float32 (N, O), the observation before each action; the concatenation of `obs_keys`, in their order.
      actions: float32 (N, A), in the environment's own units, [-1, 1] for the built-in tasks and robomimic.
      rewards: float32 (N,).
      dones: float32 (N,), 1 at a terminal step.
      episode: int32 (N,), the episode of each step: 0, ..., E-1, each contiguous, non-decreasing.
      names: E strings, the demonstrations' names in their file ('demo_0', ...).
      operators: E strings, who demonstrated; '' where the file does not say.
      obs_keys: ((name, dimension), ...) whose dimensions sum to O.
      env_args: the JSON text that describes the environment, as robomimic writes it; '{}' where unknown.
    """

    obs: Array
    actions: Array
    rewards: Array
    dones: Array
    episode: Array
    names: tuple[str, ...] = struct.field(pytree_node=False, default=())
    operators: tuple[str, ...] = struct.field(pytree_node=False, default=())
    obs_keys: tuple[tuple[str, int], ...] = struct.field(pytree_node=False, default=())
    env_args: str = struct.field(pytree_node=False, default='{}')

    @property
    def episodes(self) -> int:
        """E, the number of demonstrations."""
        return len(self.names)


class Steps(NamedTuple):
    """The stochastic steps x^k -> x^(k-1) by which a policy made one chunk (DPPO's inner MDP, arXiv 2409.00588).

    Arrays lead with the K' steps in the order they were taken, noisiest first. chunk shape is (T, A).

    Attributes:
      before: (K', T, A), x^k.
      after: (K', T, A), x^(k-1); the last one is the chunk that is played.
      mean: (K', T, A), mean of the step's Gaussian.
      std: (K', T, A), its standard deviation, which may be 0; `after` was drawn with no less than an explorer's floor.
    """

    before: jax.Array
    after: jax.Array
    mean: jax.Array
    std: jax.Array


class Family(NamedTuple):
    """A kind of generative policy: pure functions for ONE learner and ONE observation (batch with vmap).

    Observations and chunks are normalised: obs (O,), chunk (T, A), noise (T, A).

    Attributes:
      init: key -> params.
      loss: (params, key, obs, chunk, dropout=None) -> (scalar, metrics), the generative loss of one example; dropout, a
        networks.Dropout, is training's alone.
      decode: (params, obs, noise) -> chunk, deterministic in noise ~ N(0, I). All that DSRL needs.
      transition: (params, obs, x, index) -> (mean (T, A), std (T, A)) of the Gaussian that step `index` of a stochastic
        chain from N(0, I) to a chunk draws the next x (T, A) from. All that DPPO needs.
      transitions: n, how many steps that chain has; index 0 is the noisiest, and the last one's draw is the chunk.
      noise_shape: (T, A).
    """

    init: Callable[[Key], Params]
    loss: Callable[..., tuple[jax.Array, Metrics]]
    decode: Callable[[Params, jax.Array, jax.Array], jax.Array]
    transition: Callable[[Params, jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
    transitions: int
    noise_shape: tuple[int, int]


class Trainer(NamedTuple):
    """Anything that learns, written for ONE learner; parallel.population maps it over many.

    Every function runs inside parallel.pmap, so the mesh's data axis is bound: arrays that `state_spec` splits over
    it are this device's rows, and gradients are averaged with parallel.data_mean.

    Attributes:
      init: (key, data) -> state. The state is a pytree that holds everything a resumed run needs.
      run_chunk: (state, data) -> (state, metrics). Many steps in one compiled call; the state is donated.
        metrics: {name: scalar}, averaged over the chunk.
      policy: (state, data) -> what the next stage reads.
      state_spec: PartitionSpec prefix of the state; every leaf leads with the learner axis.
      data_spec: PartitionSpec prefix of data: P() where all learners read the same, P('learner') where each reads its
        own.
      rows: numbers of rows (of a batch, of environments) that are split over the data axis, which must divide each.
      warm_chunk: like run_chunk; None where nothing comes between init and the first chunk.
      warm_chunks: how many calls of it do.
    """

    init: Callable[[Key, Any], Any]
    run_chunk: Callable[[Any, Any], tuple[Any, Metrics]]
    policy: Callable[[Any, Any], Any]
    state_spec: Any
    data_spec: Any
    rows: tuple[int, ...] = ()
    warm_chunk: Callable[[Any, Any], tuple[Any, Metrics]] | None = None
    warm_chunks: int = 0
