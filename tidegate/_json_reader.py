"""Reads a server that answers in JSON for queries: address and credential stay here, answers are bounded, redirects are
not followed, nothing but GET is ever sent.
"""

import asyncio
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from diagnosis import QueryFailed
from schemas import Json, why

MOST_BYTES = 4 << 20


class JsonReader:
    """A `diagnosis.HttpReader`. url: address, with a path if the server lies below one; token: empty for none.

    name: of the subsystem, what the codes of failures begin with. scheme: of the header `Authorization`. ca_file: whom
    to trust beside the system's, for https.
    """

    def __init__(
        self, url: str, token: str = "", *, name: str, scheme: str = "Bearer", ca_file: Path | None = None
    ) -> None:
        self._url, self._token, self._name, self._scheme = url.rstrip("/"), token, name, scheme
        self._ca_file = ca_file
        self.where = urlsplit(url).netloc

    async def get(self, path: str, query: Mapping[str, str]) -> Json:
        """Raises QueryFailed: NAME_UNREACHABLE, NAME_DENIED, NAME_REFUSED, NAME_UNREADABLE."""
        import aiohttp  # comes with the extra `kafka`

        headers = {"Authorization": f"{self._scheme} {self._token}"} if self._token else {}
        try:
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                session.get(self._url + path, params=dict(query), allow_redirects=False, ssl=self._trust()) as response,
            ):
                if response.status in (401, 403):
                    raise QueryFailed(f"{self._name}_DENIED", f"{self.where} does not take the token")
                body = await self._bounded(response.content)
                if response.status != 200:
                    raise QueryFailed(f"{self._name}_REFUSED", f"{self.where} answers with status {response.status}")
        except (aiohttp.ClientError, OSError) as error:
            raise QueryFailed(f"{self._name}_UNREACHABLE", f"{self.where}: {why(error)}") from error
        try:
            document: Json = json.loads(body)
        except ValueError as error:
            raise QueryFailed(f"{self._name}_UNREADABLE", f"{self.where} does not answer in JSON") from error
        return document

    def _trust(self) -> ssl.SSLContext | bool:
        return True if self._ca_file is None else ssl.create_default_context(cafile=str(self._ca_file))

    async def _bounded(self, content: Any) -> bytes:
        pieces, size = [], 0
        async for piece in content.iter_chunked(65536):
            size += len(piece)
            if size > MOST_BYTES:
                raise QueryFailed(f"{self._name}_UNREADABLE", f"an answer of more than {MOST_BYTES} bytes")
            pieces.append(piece)
            await asyncio.sleep(0)
        return b"".join(pieces)
