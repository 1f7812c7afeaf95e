"""What every command line here shares: errors as text with advice, exit codes by cause."""

import json
import signal
import sys
from collections.abc import Callable

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from database.errors import BundleError, InterruptedRunError, UsageError

errors_to = Console(stderr=True, highlight=False, soft_wrap=True)


def run(program: Callable[[], object]) -> None:
    """Run a typer application; end the process with the exit code of what happened.

    No known cause ever shows a traceback.
    """
    # `docker stop` and `kill` ask by SIGTERM: the same clean way out as Ctrl-C. It is an error
    # of ours rather than KeyboardInterrupt, which typer would turn into exit code 130.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        program()
    except BundleError as error:
        sys.exit(report(error))
    except ValidationError as error:
        sys.exit(report(_settings_error(error)))


def report(error: BundleError) -> int:
    """Print the error and its advice to stderr; return its exit code."""
    errors_to.print(f"[bold red]error:[/] {escape(error.message)}")
    if error.hint:
        errors_to.print(f"[dim]→[/] {escape(error.hint)}")
    return error.exit_code


def print_json(out: Console, document: object) -> None:
    """A document for machines, in colours where a person looks at it."""
    if out.is_terminal:
        out.print_json(data=document)
    else:
        # A large report takes long to colour, even where the colours are left out afterwards.
        out.file.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def application(help_text: str) -> typer.Typer:
    """A typer application with this bundle's manners."""
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )


def _interrupt(_signal: int, _frame: object) -> None:
    raise InterruptedRunError("Interrupted.", "Start the command again to go on.")


def _settings_error(error: ValidationError) -> UsageError:
    problems = "; ".join(
        f"{'.'.join(map(str, item['loc'])).upper()}: {item['msg']}" for item in error.errors()
    )
    return UsageError(f"Wrong settings: {problems}.", "See .env.example for what each one means.")
