"""Learning in the background: the head, what it is trained on, the ranking it gives, and the worker that does it."""
