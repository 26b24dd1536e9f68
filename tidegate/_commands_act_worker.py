"""`tidegate act worker` and `tidegate revoke`: run what acts, and stop it."""

import asyncio
import time
from pathlib import Path
from typing import Annotated

import structlog
import typer

from schemas import Control, record_id, why
from schemas.signatures import private_key, signed
from tidegate._commands import Brokers, Config, Json, say
from tidegate._errors import ActGatewayError, SettingsError, TidegateError
from tidegate._settings import Settings

Log = Annotated[Path | None, typer.Option("--log", help="The embedded log of `tidegate up` instead of Kafka.")]
Key = Annotated[Path, typer.Option("--key", help="Your private key (`tidegate control keygen`).")]
Issuer = Annotated[str, typer.Option("--issuer", help="Your name in `control.keys`.")]


def add(act: typer.Typer) -> None:
    act.command("worker")(worker)
    act.command("supervise")(supervise)


def register(app: typer.Typer) -> None:
    app.command("revoke")(revoke)


def worker(config: Config = None, brokers: Brokers = "", log: Log = None) -> None:
    """Take what was decided, ask the gateway to do it, measure whether it helped. SIGTERM stops it."""
    from tidegate._act import run_act_worker
    from tidegate._act_feed import Feed, LogFeed
    from tidegate._audit_follow import Anchor

    settings = Settings.read(config)

    def feed_of(positions: dict[int, int]) -> Feed:
        if log is not None:
            return LogFeed(log)
        from tidegate._act_kafka import KafkaFeed

        return KafkaFeed(settings.kafka.plain(brokers), positions, time.time_ns())

    anchors = list[Anchor]()
    if settings.act.audit.anchor_kafka:
        from tidegate._anchor_kafka import KafkaAnchor

        anchors.append(KafkaAnchor(settings.kafka.plain(brokers)))
    out = structlog.get_logger()
    broken = run_act_worker(
        settings, feed_of, anchors=anchors, on_ready=lambda address: out.info("worker ready", address=address)
    )
    if broken:
        raise TidegateError(
            f"it had to end: {broken}", code="ACT_ENDED", todo="Start it again: it takes everything up from its ledger"
        )


def supervise(
    config: Config = None,
    every_s: Annotated[float, typer.Option(min=0.1, max=5, help="How often to look.")] = 2.0,
) -> None:
    """Touch `act.supervisor_file` while worker and gateway are well: without it for 10 s, nothing but advice."""
    from tidegate._act_supervise import run_supervisor

    run_supervisor(Settings.read(config), every_s)


def revoke(
    key: Key,
    issuer: Issuer,
    everything: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    verb: Annotated[str, typer.Option("--verb", help="One verb.")] = "",
    service: Annotated[str, typer.Option("--service", help="One service, by its plain name.")] = "",
    target: Annotated[str, typer.Option("--target", help="One entity, by its id.")] = "",
    breaker: Annotated[str, typer.Option("--breaker", help="One breaker, as VERB@SERVICE, or *@* for all.")] = "",
    permit_key: Annotated[
        str, typer.Option("--permit-key", help="One key that signs permits, by its id: a worker's identity.")
    ] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Let go on what was stopped by the same scope.")] = False,
    config: Config = None,
    brokers: Brokers = "",
    json_: Json = False,
) -> None:
    """Stop what acts, signed: told to the local file, the gateway and Kafka; any of them suffices."""
    settings = Settings.read(config)
    scopes = [
        f"{kind}:{name}"
        for kind, name in (
            ("verb", verb),
            ("service", service),
            ("target", target),
            ("breaker", breaker),
            ("key", permit_key),
        )
        if name
    ]
    if len(scopes) + everything != 1:
        raise SettingsError(
            "say exactly one of --all, --verb, --service, --target, --breaker and --permit-key", code="SCOPE_UNCLEAR"
        )
    scope, issued = "all" if everything else scopes[0], time.time_ns()
    kind = "resume" if resume else "kill"
    order = Control.model_validate(
        {
            "id": record_id("control", kind, scope, issued),
            "kind": kind, "scope": scope, "issued_ns": issued, "issuer": issuer, "signature": "-",
        }
    )  # fmt: skip
    try:
        order = signed(order, private_key(key.read_bytes()))
    except (OSError, ValueError) as error:
        raise SettingsError(f"the key cannot be used: {why(error)}", where=str(key)) from error
    told = places(settings, order, brokers)
    if json_:
        say({"id": order.id, "kind": kind, "scope": scope, "told": told})
    else:
        for place, outcome in told.items():
            typer.echo(f"{place:<8}{outcome or 'told'}")
    if all(told.values()):
        raise ActGatewayError("nobody was reached", code="NOBODY_REACHED", todo="Append the order to the kill file")


def places(settings: Settings, order: Control, brokers: str = "") -> dict[str, str]:
    """Where the order went: by place, empty where it was taken, else why not."""
    from schemas.signatures import public_key
    from tidegate._action_gateway_client import GatewayClient
    from tidegate._action_gateway_kill import KillFile

    act, told = settings.act, dict[str, str]()
    keys = {name: public_key(text) for name, text in settings.control.keys.items()}
    try:
        KillFile(act.kill_file, keys, time.time_ns).add(order)
        told["file"] = ""
    except (TidegateError, ValueError) as error:
        told["file"] = str(error)
    client = GatewayClient(act.gateway, act.token(), timeout_s=2.0)
    told["gateway"] = "" if asyncio.run(client.order(order)) else "not reached"
    plain = settings.kafka.plain(brokers)
    if plain.brokers:
        from tidegate._cutover import send

        try:
            send(plain, order)
            told["kafka"] = ""
        except (TidegateError, ValueError) as error:
            told["kafka"] = str(error)
    return told
