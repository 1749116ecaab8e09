"""Simulators that somebody else wrote, as they run in the worker processes of envs.host: numpy alone, never jax.

Each file is one kind of simulator, with `make(**settings) -> Simulator`; see simulators.simulator for the contract.
"""
