"""The behavioural envelope: what the demonstrations' posterior supports, and what is done about what it does not.

Beside finetune and evaluate, above policies: fitted to demonstrations, read wherever a policy plays.
"""
