"""The decision that benchmarks.decode and benchmarks.guard time: its sizes, and how many make a measurement."""

OBS, ACTIONS, CHUNK = 19, 7, 4
CALLS = {1: 100, 256: 10}  # decisions a measurement, by batch
