"""`sandbox` and `demo`: psage on the bundled services."""

from pathlib import Path
from typing import Annotated

import typer

from productive_sage.cli.common import Json
from productive_sage.cli.session import current


def sandbox(
    port: Annotated[
        int, typer.Option(metavar="N", help="First of three ports.", min=0, max=65533)
    ] = 8770,
    state: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep the services' data in this file.", dir_okay=False),
    ] = None,
    latency: Annotated[
        int, typer.Option(metavar="MS", help="Milliseconds each answer takes.", min=0)
    ] = 0,
) -> None:
    """Run imitations of both services on this machine, to try any command against.

    Example: psage sandbox, then paste what it prints into another terminal
    """
    from productive_sage.sandbox.run import serve

    raise typer.Exit(serve(port=port, state=state, latency_ms=latency))


def demo(as_json: Json = False) -> None:
    """Watch a month of an agency on the bundled services; `--verbose` adds the proof.

    Example: psage demo
    """
    from productive_sage.sandbox.demo import demonstrate

    raise typer.Exit(demonstrate(as_json=as_json, shows_proof=current.verbose))
