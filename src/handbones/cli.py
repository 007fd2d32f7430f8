"""The command line: one table of verbs, and one place where errors become a line and an exit code."""

import errno
import io
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from handbones import __version__
from handbones.errors import UserError
from handbones.files import explain

VERBS = (
    ("demo", "The whole job in minutes, on radiographs that it makes itself."),
    ("synth", "Make a collection of synthetic radiographs with exact labels."),
    ("check", "List what is wrong with a collection, and what it holds."),
    ("eda", "Show what is in a collection, on one page."),
    ("audit", "Find suspicious labels and pictures, ranked, with a picture of each."),
    ("train", "Learn from a collection, from phantoms, or both; leaves a bundle."),
    ("tune", "Search for better values of a recipe's fields."),
    ("evaluate", "Measure a bundle on labelled radiographs."),
    ("pseudo", "Label pictures that have no labels, and keep what a model is sure of."),
    ("predict", "Find the bones in pictures: submission CSV, label files, overlays."),
    ("ensemble", "Merge several submissions into one by vote."),
    ("submission", "Check whether the competition would take a submission file."),
    ("show", "Draw a radiograph with its bones, at print quality."),
    ("measure", "Measure bones: lengths, widths, areas, ratios, as CSV."),
    ("export", "Write a bundle as one .onnx file."),
)
"""Each verb is the function of its name in the module of its name in `handbones.commands`; then its help."""

_INTERRUPTED = 130


def build_app(wanted: str = "") -> typer.Typer:
    """The Typer app of all verbs; only the module of the `wanted` one is loaded, the others are names and help."""
    app = typer.Typer(
        name="handbones",
        help="Finds every bone of a hand radiograph: 29 overlapping masks from one picture.",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for verb, text in VERBS:
        function = getattr(import_module(f"handbones.commands.{verb}"), verb) if verb == wanted else _nothing
        app.command(verb, help=text)(function)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line and leave with its exit code: 0, 1 (work failed), 2 (wrong request) or 130 (Ctrl-C)."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for names of files that it cannot show
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run a command line; returns its exit code."""
    arguments = arguments or ["--help"]
    try:
        app = build_app(arguments[0])
        code = app(args=expand_homes(spread_settings(arguments)), prog_name="handbones", standalone_mode=False)
        sys.stdout.flush()
        if code == _INTERRUPTED:  # what Typer makes of it
            raise KeyboardInterrupt
    except UserError as error:
        return _fail(str(error), error.exit_code)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it leaves
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return _fail(str(explain(error, error.filename or "a file", "write")), 1)
    except (KeyboardInterrupt, MemoryError) as error:
        stopped = isinstance(error, KeyboardInterrupt)
        return _fail("stopped", _INTERRUPTED) if stopped else _fail("memory is full: free some of it", 1)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        verb = f" {arguments[0]}" if arguments[0] in dict(VERBS) else ""
        return _fail(f"{error.format_message()} See handbones{verb} --help", 2)  # Typer's: the request is wrong
    return code if isinstance(code, int) else 0


def spread_settings(arguments: Sequence[str]) -> list[str]:
    """Allow several settings after one `--set`: `--set a.b=1 c.d=2` is `--set a.b=1 --set c.d=2`."""
    spread: list[str] = []
    follows = False
    for argument in arguments:
        is_setting = re.fullmatch(r"\w+(\.\w+)+=.*", argument, re.DOTALL) is not None
        if follows and is_setting and spread[-1] != "--set":
            spread.append("--set")
        spread.append(argument)
        follows = argument == "--set" or (follows and is_setting)
    return spread


def expand_homes(arguments: Sequence[str]) -> list[str]:
    """`~/x` and `--out=~/x` with the home folder, where a shell leaves them as they are."""

    def expand(found: re.Match[str]) -> str:
        return found[1] + os.path.expanduser(found[2])  # noqa: PTH111 a Path would change what is none

    return [re.sub(r"(?s)^(--[\w-]+=|)(~.*)", expand, text) for text in arguments]


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"handbones {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_say_version)
    ] = False,
) -> None:
    """Options of the program itself."""


def _nothing() -> None:
    """Stands for a verb that is not wanted."""


def _fail(message: str, code: int) -> int:
    typer.echo(f"handbones: {message}", err=True)
    return code
