"""The commands `act`: the processes that change something. `gateway` is the only one that holds credentials."""

from pathlib import Path
from typing import Annotated

import structlog
import typer

from tidegate import _commands_act_worker

Place = Annotated[Path, typer.Option("--settings", help="The gateway's own settings file; see docs/gateway.md.")]


def register(app: typer.Typer) -> None:
    act = typer.Typer(no_args_is_help=True, help="Processes that act: what holds credentials, and what asks it.")
    act.command("gateway")(gateway)
    _commands_act_worker.add(act)
    _commands_act_worker.register(app)
    app.add_typer(act, name="act")


def gateway(settings: Place) -> None:
    """Hold the credentials; check every permit once more; write. SIGTERM stops it, after what is under way."""
    from tidegate._action_gateway import ActionGateway
    from tidegate._action_gateway_serve import run_action_gateway
    from tidegate._action_gateway_settings import ActGateway

    log = structlog.get_logger()
    one = ActionGateway(ActGateway.read(settings), say=log.info)
    run_action_gateway(one, on_ready=lambda address: log.info("gateway ready", address=address))
