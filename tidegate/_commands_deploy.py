"""Commands about what a deployment is allowed to do: `deploy rbac` renders it, `boundaries` says it."""

from pathlib import Path
from typing import Annotated

import typer
import yaml

from schemas import why
from tidegate._action_gateway_settings import ActGateway
from tidegate._boundaries import boundaries as bounds
from tidegate._boundaries import told
from tidegate._commands import Config, Json, say
from tidegate._deploy_rbac import render
from tidegate._errors import ActGatewayError
from tidegate._settings import Settings

Gateway = Annotated[Path, typer.Option("--gateway", help="Settings file of the gateway; see docs/gateway.md.")]


def register(app: typer.Typer) -> None:
    deploy = typer.Typer(no_args_is_help=True, help="What a deployment needs outside of Tidegate.")
    deploy.command("rbac")(rbac)
    app.add_typer(deploy, name="deploy")
    app.command("boundaries")(boundaries)


def rbac(
    gateway: Gateway,
    out: Annotated[Path | None, typer.Option("--out", help="Directory to write to; else they are printed.")] = None,
    namespace: Annotated[str, typer.Option(help="Where the gateway runs.")] = "tidegate",
    json_: Json = False,
) -> None:
    """Least-privilege manifests for the verbs in use: roles, network, admission, SQL."""
    files = render(ActGateway.read(gateway), namespace)
    texts = {name: _text(content) for name, content in files.items()}
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
            for name, text in texts.items():
                (out / name).write_text(text)
        except OSError as error:
            raise ActGatewayError(f"it cannot be written: {why(error)}", where=str(out)) from error
    if json_:
        say({"files": files if out is None else sorted(files)})
    elif out is None:
        typer.echo("\n".join(f"# {name}\n{text}" for name, text in texts.items()))
    else:
        typer.echo(f"{len(files)} files written to {out}")


def boundaries(
    settings: Config = None,
    gateway: Annotated[
        Path | None, typer.Option("--gateway", help="Settings file of the gateway; without one nothing is changed.")
    ] = None,
    json_: Json = False,
) -> None:
    """What it may read, ask and change, and who may stop it or must approve."""
    document = bounds(Settings.read(settings), ActGateway.read(gateway) if gateway else None)
    if json_:
        say(document)
    else:
        typer.echo(told(document))


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    documents: list[object] = content if isinstance(content, list) else [content]
    return yaml.safe_dump_all(documents, sort_keys=False)
