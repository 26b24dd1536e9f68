"""Commands of upgrades: serve, generations compare, generations cutover, control keygen."""

from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from schemas import rfc3339, why
from schemas.signatures import public_key, public_text
from tidegate._commands import Config, Json, say
from tidegate._errors import SettingsError
from tidegate._settings import Settings
from tidegate._signals import stop_when_told

CHECK_FAILED = 4
Brokers = Annotated[str, typer.Option("--brokers", help="HOST:PORT,HOST:PORT of Kafka; wins over kafka.brokers.")]
Two = Annotated[tuple[str, str], typer.Option("--generations", help="The two that run side by side.")]


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)
    generations = typer.Typer(no_args_is_help=True, help="Two generations of the pipeline side by side.")
    generations.command("compare")(compare_command)
    generations.command("cutover")(cutover)
    app.add_typer(generations, name="generations")
    control = typer.Typer(no_args_is_help=True, help="Signed orders to running processes.")
    control.command("keygen")(keygen)
    app.add_typer(control, name="control")


def serve(
    generation: Annotated[list[str], typer.Option(help="One that runs; the first is public at the start. Repeat it.")],
    settings: Config = None,
    brokers: Brokers = "",
) -> None:
    """Publish the incidents, diagnoses and actions of the generation in force under the names that others read."""
    from streams import kafka
    from tidegate._serve import Server

    log = structlog.get_logger()
    stop = stop_when_told()
    read = Settings.read(settings)
    try:
        keys = {issuer: public_key(text) for issuer, text in read.control.keys.items()}
    except ValueError as error:
        raise SettingsError(f"control.keys: {error}", todo="A key is what `tidegate control keygen` prints") from error

    def event(text: str, **facts: Any) -> None:
        log.info(text, **facts)

    plain = read.kafka.plain(brokers)
    kafka.probe(plain)
    server = Server(plain, generation, keys, say=event)
    log.info("process started", public=server.serving.cuts[-1][1])
    server.run(stop)


def compare_command(generations: Two, settings: Config = None, brokers: Brokers = "", json_: Json = False) -> None:
    """Are both of one mind, as far as both have come? Exit code 4 if not."""
    from tidegate._cutover import compare

    found = compare(Settings.read(settings).kafka.plain(brokers), generations)
    if json_:
        say({
            "equal": found.are_equal, "through": rfc3339(found.through_ns), "digests": found.digests,
            "incidents": found.incidents, "differing": list(found.differing),
        })  # fmt: skip
    else:
        typer.echo(f"{found.incidents} incidents up to {rfc3339(found.through_ns)}")
        for name, digest in found.digests.items():
            typer.echo(f"  {name:12} {digest}")
        for incident in found.differing:
            typer.echo(f"  differ on incident {incident}")
    if not found.are_equal:
        raise typer.Exit(CHECK_FAILED)


def cutover(
    generations: Two,
    to: Annotated[str, typer.Option(help="The one that is to be public.")],
    issuer: Annotated[str, typer.Option(help="Your name in control.keys.")],
    key: Annotated[Path, typer.Option(help="Your private key, from `tidegate control keygen`.")],
    lead_s: Annotated[
        float, typer.Option(min=1, max=86_400, help="How far ahead of both, in seconds of event time.")
    ] = 120,
    settings: Config = None,
    brokers: Brokers = "",
    json_: Json = False,
) -> None:
    """Order, signed, that a generation is public from a moment on that neither has reached; back the same way."""
    from tidegate._cutover import order_cutover

    if to not in generations:
        raise SettingsError(f"'{to}' is none of {', '.join(generations)}", todo="Choose --to from --generations")
    plain = Settings.read(settings).kafka.plain(brokers)
    order = order_cutover(plain, generations, to, issuer=issuer, key=key, lead_ns=round(lead_s * 1e9))
    if json_:
        say(order.model_dump(mode="json"))
    else:
        typer.echo(
            f"{to} is public from {rfc3339(order.from_ns or 0)} on; `tidegate serve` says when it took the order."
        )


def keygen(
    out: Annotated[Path, typer.Argument(help="File for the private key; it must not exist.")],
    json_: Json = False,
) -> None:
    """A new Ed25519 key: the private one into a file that only you can read, the public one to be put in settings."""
    import os

    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
    except OSError as error:
        raise SettingsError(
            f"the key cannot be written: {why(error)}", where=str(out), todo="Choose another file"
        ) from error
    if json_:
        say({"public": public_text(key), "private": str(out)})
    else:
        typer.echo(f"public key: {public_text(key)}\nPut it into the settings as control.keys.YOUR-NAME.")
