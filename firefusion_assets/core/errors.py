"""Errors that a person can mend: the message says what is wrong and what to do."""


class UserError(Exception):
    """What the command line tells by its message alone, without a traceback."""


class RequestError(UserError, ValueError):
    """What was asked for can't be done with what is there."""
