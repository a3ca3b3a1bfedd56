"""Errors that a person may see: each is one plain sentence with the way out."""


class AskwiseError(Exception):
    """Something went wrong in a way that its sentence explains."""


class NotFound(AskwiseError):
    """What was asked for is not there (or not for the acting user to know of)."""


class NotAllowed(AskwiseError):
    """The acting user's role does not permit this."""


class Invalid(AskwiseError):
    """What was sent cannot be taken, and why."""
