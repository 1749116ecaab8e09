"""The behavioural envelope: what the demonstrations' posterior supports, and what is done about what it does not.

Beside finetune and evaluate, above policies: describes demonstrations, finds those that look like errors and says what
to record next; fitted to demonstrations, it is read wherever a policy plays. For one learner, on arrays.
"""
