"""The two exceptions that a user can cause; everything else that is raised is a bug.

The message is one line that names the file, label, field or flag and the remedy, or such a line over a list of all
that is wrong. The command line prints it without a traceback and leaves with `exit_code`.
"""

from collections.abc import Sequence

_MOST_LINES = 20


class UserError(Exception):
    """Work failed because of something that the user can mend: a file, a label, a full disk."""

    exit_code = 1


class UsageError(UserError):
    """The request itself makes no sense: an unknown flag value, recipe or field."""

    exit_code = 2


def in_one_message(head: str, lines: Sequence[object]) -> str:
    """A head over the lines of what it counts, the first 20 of them."""
    more = [f"... and {len(lines) - _MOST_LINES} more"] if len(lines) > _MOST_LINES else []
    return "\n  ".join([head, *map(str, lines[:_MOST_LINES]), *more])
