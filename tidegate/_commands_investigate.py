"""The command `investigate`: answers questions about open incidents, on Kafka."""

from dataclasses import replace
from typing import Annotated

import typer

from diagnosis import ChatReader, QueryFailed
from tidegate import _pipeline
from tidegate._commands import Config
from tidegate._errors import SettingsError
from tidegate._investigate_settings import Llm
from tidegate._settings import Settings

Brokers = Annotated[str, typer.Option("--brokers", help="HOST:PORT,HOST:PORT of Kafka; wins over kafka.brokers.")]


def register(app: typer.Typer) -> None:
    app.command("investigate")(investigate)


def investigate(
    subsystem: Annotated[
        list[str] | None, typer.Option("--subsystem", help="Ask only this one; may be repeated. All if none.")
    ] = None,
    brokers: Brokers = "",
    settings: Config = None,
) -> None:
    """Answer what the diagnose stage asks, by reading our topics and Prometheus. SIGTERM stops it; nothing is lost."""
    read = Settings.read(settings)
    queries = _pipeline.asked(read)
    known = sorted({query.subsystem for query in queries.values()})
    chosen = subsystem or known
    for name in chosen:
        if name not in known:
            raise SettingsError(
                f"there is no subsystem '{name}'", where=str(settings or ""),
                todo=f"Subsystems: {', '.join(known)} (others are not set up: investigate.prometheus.url, ...)",
            )  # fmt: skip
    from streams import kafka  # the extra `kafka` may be absent
    from tidegate._faust import Investigators
    from tidegate._investigate_readers import context_of
    from tidegate._topics_reader import KafkaTopics

    plain = read.kafka.plain(brokers)
    kafka.probe(plain)
    llm = read.investigate.llm
    context = replace(
        context_of(read.investigate), topics=KafkaTopics(plain, shards=read.streams.core().shards),
        llm=_chat(llm) if llm.model and "llm" in chosen else None,
    )  # fmt: skip
    mine = {kind: query for kind, query in queries.items() if query.subsystem in chosen}
    Investigators(
        plain, chosen, mine, context, at_once=read.investigate.at_once, most_waiting=read.investigate.most_waiting
    ).run()


def _chat(llm: Llm) -> ChatReader:
    from tidegate._llm import OpenAiChat

    try:
        return OpenAiChat(
            llm.url, llm.model, llm.secret(), timeout_s=llm.timeout_s, most_tokens=llm.most_tokens,
            prices=(llm.price_in, llm.price_out),
        )  # fmt: skip
    except QueryFailed as error:
        raise SettingsError(error.what, where="investigate.llm", todo="Or set no model") from error
