"""How processes log: one event a line on stderr, JSON for machines, coloured columns where somebody looks."""

import sys
from typing import Any

import structlog


def log_to_stderr(*, for_people: bool | None = None) -> None:
    """Set it up, at the start of a command. for_people: None: where stderr is a terminal."""
    if for_people is None:
        for_people = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if for_people else structlog.processors.JSONRenderer(),
        ],
        logger_factory=_logger,
    )


def _logger(*_: Any) -> structlog.PrintLogger:
    """To what is stderr when a line is written: who runs a command inside a program may have swapped and closed it."""
    return structlog.PrintLogger(sys.stderr)
