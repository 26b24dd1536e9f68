"""Reads Prometheus for queries: address and token stay here, answers are bounded, redirects are not followed."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from diagnosis import QueryFailed
from schemas import Json

MOST_BYTES = 4 << 20


class PrometheusReader:
    """A `diagnosis.HttpReader`. url: address, with a path if Prometheus lies below one; token: empty for none."""

    def __init__(self, url: str, token: str = "") -> None:
        self._url, self._token = url.rstrip("/"), token
        self.where = urlsplit(url).netloc

    async def get(self, path: str, query: Mapping[str, str]) -> Json:
        """Raises QueryFailed: PROMETHEUS_UNREACHABLE, PROMETHEUS_DENIED, PROMETHEUS_REFUSED, PROMETHEUS_UNREADABLE."""
        import aiohttp  # comes with the extra `kafka`

        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                session.get(self._url + path, params=dict(query), allow_redirects=False) as response,
            ):
                if response.status in (401, 403):
                    raise QueryFailed("PROMETHEUS_DENIED", f"{self.where} does not take the token")
                body = await _bounded(response.content)
                if response.status != 200:
                    raise QueryFailed("PROMETHEUS_REFUSED", f"{self.where} answers with status {response.status}")
        except (aiohttp.ClientError, OSError) as error:
            raise QueryFailed("PROMETHEUS_UNREACHABLE", f"{self.where}: {error!r}") from error
        try:
            document: Json = json.loads(body)
        except ValueError as error:
            raise QueryFailed("PROMETHEUS_UNREADABLE", f"{self.where} does not answer in JSON") from error
        return document


async def _bounded(content: Any) -> bytes:
    pieces, size = [], 0
    async for piece in content.iter_chunked(65536):
        size += len(piece)
        if size > MOST_BYTES:
            raise QueryFailed("PROMETHEUS_UNREADABLE", f"an answer of more than {MOST_BYTES} bytes")
        pieces.append(piece)
        await asyncio.sleep(0)
    return b"".join(pieces)
