"""The command line. Commands live in `_commands*.py`; here they are put together and errors become sentences.

Exit codes: 0 success; 1 a bug of ours; 2 the command was typed wrong; 3 an input, setting or place is unusable;
4 a check found something wrong; 130 interrupted. With `--json` the last line of standard output is one JSON object,
also when it fails (`{"error": {...}}`); sentences for people go to standard error.
"""

import json
import sys

import typer

from tidegate import (
    __version__,
    _allocator,  # noqa: F401  # first of all
)
from tidegate._commands import register as register_main
from tidegate._commands_act import register as register_act
from tidegate._commands_approve import register as register_approve
from tidegate._commands_audit import register as register_audit
from tidegate._commands_autonomy import register as register_autonomy
from tidegate._commands_brief import register as register_brief
from tidegate._commands_check import register as register_checks
from tidegate._commands_context import register as register_context
from tidegate._commands_deploy import register as register_deploy
from tidegate._commands_detect import register as register_detect
from tidegate._commands_forecast import register as register_forecast
from tidegate._commands_gateway import register as register_gateway
from tidegate._commands_investigate import register as register_investigate
from tidegate._commands_label import register as register_label
from tidegate._commands_live import register as register_live
from tidegate._commands_look import register as register_look
from tidegate._commands_policy import register as register_policy
from tidegate._commands_run import register as register_run
from tidegate._commands_silence import register as register_silence
from tidegate._commands_simulate import register as register_simulate
from tidegate._commands_topics import register as register_topics
from tidegate._commands_trace import register as register_trace
from tidegate._commands_upgrade import register as register_upgrade
from tidegate._errors import PlaceError
from tidegate._log import log_to_stderr
from tidegate._signals import is_over

FAILED, CHECK_FAILED = 3, 4


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tidegate {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="tidegate", no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    help="Telemetry to ranked causes to policy-gated actions; the same code live and in replay.",
)  # fmt: skip


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Telemetry to ranked causes to policy-gated actions; the same code live and in replay."""
    log_to_stderr()


register_main(app)
register_brief(app)
register_detect(app)
register_forecast(app)
register_gateway(app)
register_label(app)
register_silence(app)
register_context(app)
register_live(app)
register_look(app)
register_run(app)
register_upgrade(app)
register_investigate(app)
register_checks(app)
register_simulate(app)
register_policy(app)
register_topics(app)
register_trace(app)
register_audit(app)
register_act(app)
register_deploy(app)
register_approve(app)
register_autonomy(app)


def main() -> None:
    """Run a command; every expected failure is one sentence with its code, never a traceback."""
    try:
        app()
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(130)
    except SystemExit as ending:
        typed_wrong = getattr(ending.__context__, "format_message", None)
        if typed_wrong is not None:
            _object("TYPED_WRONG", typed_wrong(), "", "See --help")
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.filename and error.strerror:
            error = PlaceError(error.strerror, where=str(error.filename), todo="Give a path that can be used")
        code = getattr(error, "code", None)
        if not isinstance(code, str):
            raise
        _object(code, *(getattr(error, name, "") for name in ("what", "where", "todo")))
        print(f"tidegate: {_plain(str(error))} [{code}]", file=sys.stderr)
        sys.exit(FAILED)
    finally:
        is_over()


def _object(code: str, what: str, where: str, todo: str) -> None:
    if "--json" in sys.argv:
        print(json.dumps({"error": {"code": code, "what": what, "where": where, "todo": todo}}))


def _plain(text: str) -> str:
    """One line without control characters: what a sentence quotes may come from elsewhere."""
    return "".join(one if one.isprintable() else " " if one in "\n\t" else "\ufffd" for one in text)
