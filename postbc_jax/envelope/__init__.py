"""The behavioural envelope: which behaviour the demonstrations support, and what a policy does about it.

Beside finetuning and evaluation, below the launchers: describes the demonstrations by the posterior, finds those that
look like errors, says what to record next. Everything for one learner, on arrays.
"""
