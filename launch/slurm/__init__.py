"""A sweep as one array job of Slurm: `python -m launch.slurm` submits the points that are not done.

script writes the job, queue reads which points Slurm has already.
"""
