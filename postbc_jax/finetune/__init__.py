"""Finetuning by reinforcement learning: steer (an environment whose action is a policy's noise), and trainers on it."""
