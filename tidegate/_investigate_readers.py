"""What investigators may read beside our own topics: made of the settings, each with its own credential."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from diagnosis import Context, QueryFailed
from schemas import Json
from tidegate._investigate_settings import Investigate
from tidegate._json_reader import JsonReader
from tidegate._prometheus import PrometheusReader

_MOST_ROWS, _MOST_PATHS, _MOST_BYTES = 200, 500, 1 << 20
_TIMEOUT_S = 8
_AT_ONCE = 4
"""Connections to one database, or processes of git, however many questions run."""


def context_of(settings: Investigate) -> Context:
    """Readers of what is set up; the others are None. Raises SettingsError."""
    kube, elastic = settings.kubernetes, settings.elasticsearch
    prometheus, loki, jaeger, argocd = settings.prometheus, settings.loki, settings.jaeger, settings.argocd
    return Context(
        prometheus=PrometheusReader(prometheus.url, prometheus.secret()) if prometheus.url else None,
        loki=JsonReader(loki.url, loki.secret(), name="LOKI") if loki.url else None,
        elasticsearch=JsonReader(elastic.url, elastic.secret(), name="ELASTICSEARCH", scheme="ApiKey")
        if elastic.url
        else None,
        jaeger=JsonReader(jaeger.url, jaeger.secret(), name="JAEGER") if jaeger.url else None,
        kubernetes=JsonReader(kube.url, kube.secret(), name="KUBERNETES", ca_file=kube.ca_file) if kube.url else None,
        argocd=JsonReader(argocd.url, argocd.secret(), name="ARGOCD") if argocd.url else None,
        postgres=PostgresReader(settings.postgres.secret()) if settings.postgres.is_set else None,
        git=CloneReader(settings.git.clone) if settings.git.clone else None,
        prometheus_label=prometheus.label, loki_label=loki.label, kubernetes_namespace=kube.namespace,
        elasticsearch_index=elastic.index,
    )  # fmt: skip


class PostgresReader:
    """A `diagnosis.SqlReader`: one connection a statement, in a transaction that can only read, with a time limit."""

    def __init__(self, dsn: str) -> None:
        self._dsn, self._at_once = dsn, asyncio.Semaphore(_AT_ONCE)

    async def rows(self, query: str) -> Sequence[Mapping[str, Json]]:
        """Raises QueryFailed: POSTGRES_UNREACHABLE, POSTGRES_REFUSED."""
        async with self._at_once:
            return await self._rows(query)

    async def _rows(self, query: str) -> Sequence[Mapping[str, Json]]:
        import psycopg  # the extra `postgres`
        from psycopg.rows import dict_row

        limits = f"-c default_transaction_read_only=on -c statement_timeout={_TIMEOUT_S * 1000}"
        try:
            connection = await psycopg.AsyncConnection.connect(
                self._dsn, options=limits, connect_timeout=_TIMEOUT_S, application_name="tidegate-investigate"
            )
        except psycopg.Error as error:
            raise QueryFailed("POSTGRES_UNREACHABLE", type(error).__name__) from error
        try:
            async with connection, connection.cursor(row_factory=dict_row) as cursor:
                await cursor.execute(query.encode())
                return await cursor.fetchmany(_MOST_ROWS)
        except psycopg.Error as error:
            raise QueryFailed("POSTGRES_REFUSED", type(error).__name__) from error


class CloneReader:
    """A `diagnosis.GitReader` by the command `git`: no hook, no external diff, no filter, no network."""

    def __init__(self, clone: Path) -> None:
        self._clone, self._at_once = clone, asyncio.Semaphore(_AT_ONCE)

    async def changed(self, old: str, new: str) -> Sequence[str]:
        """Raises QueryFailed: GIT_ABSENT, GIT_REFUSED (an unknown version), GIT_TOO_MUCH."""
        async with self._at_once:
            return await self._changed(old, new)

    async def _changed(self, old: str, new: str) -> Sequence[str]:
        words = ("--no-pager", "-c", "core.fsmonitor=false", "-c", "protocol.allow=never", "-C", str(self._clone),
                 "diff", "--name-only", "--no-ext-diff", "--no-textconv", "--no-renames", "-z", "--end-of-options",
                 old, new, "--")  # fmt: skip
        safe = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}
        try:
            running = await asyncio.create_subprocess_exec(
                "git", *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL, env=safe | {"PATH": os.environ.get("PATH", "")},
            )  # fmt: skip
        except OSError as error:
            raise QueryFailed("GIT_ABSENT", "the command git cannot be started") from error
        try:
            said = b""
            while running.stdout and len(said) <= _MOST_BYTES and (piece := await running.stdout.read(65536)):
                said += piece
            if len(said) > _MOST_BYTES:
                raise QueryFailed("GIT_TOO_MUCH", f"more than {_MOST_BYTES} bytes of paths differ")
            if await running.wait():
                raise QueryFailed("GIT_REFUSED", f"git cannot compare {old} with {new}")
        finally:
            if running.returncode is None:
                running.kill()
                await running.wait()
        paths = sorted(path for path in said.decode("utf-8", "replace").split("\0") if path)
        return paths[:_MOST_PATHS]
