"""Running an experiment on a TPU pod: commands builds what is run, supervise runs it, __main__ is the command line."""
