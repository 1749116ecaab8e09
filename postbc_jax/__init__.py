"""Posterior Behavioral Cloning in JAX: demonstrations -> posterior -> policy -> finetune -> evaluate -> report."""

__version__ = '0.1.0'
