"""Errors that a person can repair: the message says what is wrong and what to do."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from firefusion_assets.core.folders import some_of

_FEW: Final = 3
"""So many files of which the same is wrong are told one by one."""


class UserError(Exception):
    """Something that a person can repair; the command line shows its message alone, without a traceback."""


class RequestError(UserError, ValueError):
    """What was asked for can't be done with what is there."""


def gathered(problems: Iterable[str]) -> list[str]:
    """Return problems, `FILE: what is wrong` each, with one line for many files of which the same is wrong."""
    files = defaultdict(list)
    for problem in problems:
        file, _, what = problem.partition(": ")
        files[what].append(file)
    lines = []
    for what, named in files.items():
        told = [f"{len(named)} files ({some_of(named)})"] if what and len(named) > _FEW else named
        lines += [f"{file}: {what}" if what else file for file in told]
    return lines
