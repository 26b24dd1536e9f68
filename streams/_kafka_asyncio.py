"""The same settings for the asyncio client (aiokafka, under Faust): names of arguments, TLS context, OAuth tokens.

librdkafka fetches tokens by itself; aiokafka asks us. Source: RFC 6749, section 4.4 (client credentials), with
2.3.1 and 5 (how a client says who it is, what the endpoint answers).
"""

import asyncio
import base64
import json
import time
from typing import Any
from urllib.error import URLError
from urllib.parse import quote_plus, urlencode
from urllib.request import Request, urlopen

from aiokafka.abc import AbstractTokenProvider  # type: ignore[import-untyped]

from schemas import why
from streams._errors import TransportError
from streams._kafka_settings import KafkaSecurity, KafkaSettings
from streams._kafka_wire import addresses, ssl_context

_EARLY = 0.8
"""A token is fetched anew after this share of its life, as librdkafka does."""
_PATIENCE_S = 10.0
_MAX_ANSWER = 1 << 20


def aiokafka_arguments(settings: KafkaSettings) -> dict[str, Any]:
    """Arguments of AIOKafkaConsumer, AIOKafkaProducer and AIOKafkaAdminClient. Holds secrets: never print it.

    Faust takes the same pieces: `ssl_context`, `sasl_plain_username`, ..., `sasl_oauth_token_provider`.
    """
    security = settings.security
    found: dict[str, Any] = {
        "bootstrap_servers": [f"{host}:{port}" for host, port in addresses(settings.brokers)],
        "client_id": settings.prefix, "security_protocol": security.protocol.upper(),
    }  # fmt: skip
    if security.has_tls:
        found["ssl_context"] = ssl_context(security)
    if security.has_sasl:
        found["sasl_mechanism"] = (security.mechanism or "plain").upper()
        if security.mechanism == "oauthbearer":
            found["sasl_oauth_token_provider"] = TokenProvider(security)
        else:
            found |= {"sasl_plain_username": security.username, "sasl_plain_password": security.password}
    return found


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """Bearer tokens for aiokafka: one at a time, kept for most of its life, fetched beside the event loop."""

    def __init__(self, security: KafkaSecurity) -> None:
        self._security, self._lock = security, asyncio.Lock()
        self._token, self._until = "", 0.0

    async def token(self) -> str:
        """A token that still lives. Raises TransportError KAFKA_AUTHENTICATION or KAFKA_UNREACHABLE."""
        async with self._lock:
            if time.monotonic() >= self._until:
                asked = time.monotonic()
                self._token, lives_s = await asyncio.to_thread(fetch_token, self._security)
                self._until = asked + _EARLY * lives_s
            return self._token


def fetch_token(security: KafkaSecurity) -> tuple[str, float]:
    """A new token and the seconds that it lives, from the token endpoint. Blocks up to ten seconds."""
    oauth = security.oauth
    who = base64.b64encode(f"{quote_plus(oauth.client_id)}:{quote_plus(oauth.client_secret)}".encode()).decode()
    form = {"grant_type": "client_credentials", **({"scope": oauth.scope} if oauth.scope else {})}
    headers = {"Authorization": f"Basic {who}", "Accept": "application/json"}
    request = Request(oauth.token_url, urlencode(form).encode(), headers)
    context = ssl_context(KafkaSecurity(ca_file=security.ca_file)) if oauth.token_url.startswith("https:") else None
    try:
        with urlopen(request, timeout=_PATIENCE_S, context=context) as answer:
            said = json.loads(answer.read(_MAX_ANSWER))
            return str(said["access_token"]), float(said.get("expires_in", 60))
    except (URLError, TimeoutError) as error:
        refused = getattr(error, "code", 0) in (400, 401, 403)
        raise TransportError(
            f"the token endpoint gives no token: {why(error)}", where=oauth.token_url,
            code="KAFKA_AUTHENTICATION" if refused else "KAFKA_UNREACHABLE", todo="Check kafka.security.oauth",
        ) from error  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise TransportError(
            f"what the token endpoint answers is no token ({error!r})", where=oauth.token_url,
            code="KAFKA_AUTHENTICATION", todo="Check kafka.security.oauth.token_url",
        ) from error  # fmt: skip
