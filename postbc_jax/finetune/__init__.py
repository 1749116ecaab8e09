"""Finetuning by reinforcement learning: environments whose step is a policy's decision or its noise, and trainers."""
