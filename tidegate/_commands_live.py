"""Commands that live: up, record, play."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Put the commands on the application."""


_ = (Path, Annotated)
