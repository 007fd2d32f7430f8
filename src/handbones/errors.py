"""The two exceptions that a user can cause; everything else that is raised is a bug.

The message is one line that names the file, label, field or flag and the remedy. The command line prints it
without a traceback and leaves with `exit_code`.
"""


class UserError(Exception):
    """Work failed because of something that the user can mend: a file, a label, a full disk."""

    exit_code = 1


class UsageError(UserError):
    """The request itself makes no sense: an unknown flag value, recipe or field."""

    exit_code = 2
