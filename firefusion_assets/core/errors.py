"""Errors that a person can repair: the message says what is wrong and what to do."""


class UserError(Exception):
    """Something that a person can repair; the command line shows its message alone, without a traceback."""


class RequestError(UserError, ValueError):
    """What was asked for can't be done with what is there."""
