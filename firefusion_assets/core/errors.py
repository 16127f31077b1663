"""Errors that a person can repair."""


class UserError(Exception):
    """Something that a person can repair; the message says what is wrong, where, and what to do."""
