"""`handbones submission check`: whether the competition would take a file."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from handbones.collection import open_collection
from handbones.commands.console import counted
from handbones.commands.looking import picture_shape
from handbones.errors import UsageError, UserError

_SHOWN = 20


def submission(
    action: Annotated[str, typer.Argument(help="check")],
    file: Annotated[Path, typer.Argument(help="The submission CSV.")],
    *,
    data: Annotated[Path | None, typer.Option(help="The collection whose test part the submission must be of.")] = None,
    size: Annotated[str, typer.Option(help="Height and width of the pictures.")] = "2048x2048",
) -> None:
    """Check a submission: columns, order, counts, names, and runs that fit, ascend and do not overlap."""
    from handbones.inference.submission import check_submission  # noqa: PLC0415 slow to load

    if action != "check":
        raise UsageError(f"submission {action}: there is only: submission check FILE")
    names = None if data is None else [case.name for case in open_collection(data).test]
    if names == []:
        raise UserError(f"{data}: has no test part")
    problems = check_submission(file, picture_shape(size), names)
    shown = list(islice(problems, _SHOWN))
    if not shown:
        print(f"{file}: all is well")
        return
    rest = sum(1 for _ in problems)
    for line in shown:
        print(line)
    raise UserError(f"{file}: {counted(len(shown) + rest, 'problem')}" + f", {_SHOWN} of them above" * bool(rest))
