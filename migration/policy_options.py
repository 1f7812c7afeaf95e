"""The options of the command line that are policies: written once, for every verb that has them."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from migration.policies import (
    BadText,
    Booleans,
    Epoch,
    InvalidJson,
    NulText,
    Orphans,
    OverLong,
    Policies,
)

_FLAGS: dict[str, Any] = {
    "orphans": Annotated[Orphans | None, typer.Option("--orphans", help="Rows without a parent.")],
    "nul": Annotated[NulText | None, typer.Option("--nul", help="NUL characters in text.")],
    "bad_utf8": Annotated[
        BadText | None, typer.Option("--bad-utf8", help="Text that is not UTF-8.")
    ],
    "over_long": Annotated[
        OverLong | None, typer.Option("--over-long", help="Text longer than the column.")
    ],
    "epoch": Annotated[
        Epoch | None, typer.Option("--epoch", help="What numbers count in columns of times.")
    ],
    "booleans": Annotated[
        Booleans | None,
        typer.Option("--booleans", help="Numbers beyond 0 and 1 in boolean columns."),
    ],
    "invalid_json": Annotated[
        InvalidJson | None,
        typer.Option("--invalid-json", help="Text that is no JSON in JSON columns."),
    ],
}
_FILE = Annotated[
    Path | None, typer.Option("--policies", help="TOML file of policies per table and column.")
]


def takes_policies(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all policy options; it is called with their outcome as `policies`."""
    return _taking(command, _FLAGS)


def takes_value_policies(command: Callable[..., None]) -> Callable[..., None]:
    """The same for a command that converts values and makes no constraints: without --orphans."""
    return _taking(command, {name: kind for name, kind in _FLAGS.items() if name != "orphans"})


def _taking(command: Callable[..., None], flags: dict[str, Any]) -> Callable[..., None]:
    @wraps(command)
    def with_options(**values: Any) -> None:  # noqa: ANN401 (whatever the command takes)
        given = Policies(**{name: values.pop(name) for name in flags})
        command(**{**values, "policies": Policies.read(values["policies"], given)})

    own = inspect.signature(command).parameters
    options = {"policies": _FILE, **flags}
    parameters = [parameter for name, parameter in own.items() if name != "policies"]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in options.items()
    ]
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {**command.__annotations__, **options}
    return with_options
