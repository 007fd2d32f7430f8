"""`handbones submission check`: whether the competition would take a file."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from handbones.commands.console import counted, counting, opened
from handbones.commands.options import picture_shape
from handbones.errors import UsageError, UserError
from handbones.radiograph import Size, picture_size

_SHOWN = 20
_SIZE = "2048x2048"
"""Of the competition's pictures."""


def submission(
    action: Annotated[str, typer.Argument(help="check")],
    file: Annotated[Path, typer.Argument(help="The submission CSV.")],
    *,
    data: Annotated[
        Path | None,
        typer.Option(help="The collection that the submission must be of: its test part, or all without one."),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help=f"Height and width of all pictures; as in DATA, or {_SIZE}, unless given.")
    ] = None,
) -> None:
    """Check a submission: columns, order, counts, names, and runs that fit, ascend and do not overlap."""
    from handbones.inference.submission import check_submission, count_rows  # noqa: PLC0415 slow to load

    if action != "check":
        raise UsageError(f"submission {action}: there is only: submission check FILE")
    names, shapes = (None, {}) if data is None else _wanted(data)
    shape = picture_shape(size or _SIZE)
    with counting("rows", count_rows(file)) as progress:
        problems = check_submission(file, shape, names, {} if size else shapes, seen=progress)
        shown = list(islice(problems, _SHOWN))
        rest = sum(1 for _ in problems)
    if not shown:
        print(f"{file}: all is well" + f" for pictures of {_SIZE}" * (size is None and data is None))
        return
    for line in shown:
        print(line)
    raise UserError(f"{file}: {counted(len(shown) + rest, 'problem')}" + f", {_SHOWN} of them above" * bool(rest))


def _wanted(data: Path) -> tuple[list[str], dict[str, Size]]:
    """The names of the pictures of its test part, or of all without one, and the sizes of those that can be read."""
    collection = opened(data, strict=False, part="test", labels_wanted=False)
    # The competition knows nothing of problems: it wants the pictures that have some, too.
    cases = sorted((*collection.cases, *collection.left_out), key=lambda case: case.image.as_posix())
    sizes = {case.name: picture_size(case.image) for case in collection.cases}
    return list(dict.fromkeys(case.name for case in cases)), sizes
