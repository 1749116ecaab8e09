"""Linen networks, the only importers of linen: what every stage that learns builds its functions from.

Each module is written for one example (features last, no batch axis needed) and batched by vmap.
"""

from postbc_jax.networks.mlp import ACTIVATIONS, MLP, DenoisingMLP, Dropout, activation, check_network

__all__ = ['ACTIVATIONS', 'MLP', 'DenoisingMLP', 'Dropout', 'activation', 'check_network']
