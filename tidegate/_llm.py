"""A language model behind an OpenAI-compatible address: address, key and timeouts stay here.

Any server with chat completions and `response_format: json_schema` will do (OpenAI, vLLM, llama.cpp, Ollama). One
attempt a call: retrying is for the reasoner, within its budget. What was used is logged under the names of
OpenTelemetry's semantic conventions for generative AI.
"""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import structlog

from diagnosis import QueryFailed, Reply
from schemas import Json

log = structlog.get_logger("tidegate.llm")


class OpenAiChat:
    """A `diagnosis.ChatReader`. url: ends before `/chat/completions`, usually in `/v1`. key: empty for none.

    prices: of a million tokens in, and out.

    Raises QueryFailed LLM_MISSING where the extra `llm` is not installed.
    """

    def __init__(
        self, url: str, model: str, key: str = "", *, timeout_s: float = 20.0, most_tokens: int = 6000,
        prices: tuple[float, float] = (0.0, 0.0),
    ) -> None:  # fmt: skip
        try:
            import openai
        except ModuleNotFoundError as error:
            raise QueryFailed("LLM_MISSING", "the extra is not installed: pip install 'tidegate[llm]'") from error
        self.most_tokens, self._model, self._openai, self._prices = most_tokens, model, openai, prices
        self.where = urlsplit(url).netloc
        # A key of some kind is needed by the client, also for servers that want none.
        self._client = openai.AsyncOpenAI(base_url=url, api_key=key or "none", timeout=timeout_s, max_retries=0)

    async def ask(self, system: str, user: str, schema: Mapping[str, Json], most_out: int) -> Reply:
        """Raises QueryFailed: LLM_UNREACHABLE, LLM_DENIED, LLM_REFUSED, LLM_REPLY_INVALID."""
        openai, begun = self._openai, time.monotonic()
        body: dict[str, Any] = {
            "model": self._model, "temperature": 0, "max_tokens": most_out,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
            "response_format": {
                "type": "json_schema", "json_schema": {"name": "choice", "strict": True, "schema": dict(schema)},
            },
        }  # fmt: skip
        try:
            found = await self._client.chat.completions.create(**body)
        except openai.APITimeoutError as error:
            raise QueryFailed("LLM_TIMEOUT", f"{self.where} does not answer in time") from error
        except openai.APIConnectionError as error:
            raise QueryFailed("LLM_UNREACHABLE", f"{self.where}: {error!r}") from error
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise QueryFailed("LLM_DENIED", f"{self.where} does not take the key") from error
        except openai.APIStatusError as error:
            raise QueryFailed("LLM_REFUSED", f"{self.where} answers with status {error.status_code}") from error
        except (openai.APIError, ValueError, TypeError) as error:
            raise QueryFailed("LLM_REPLY_INVALID", f"{self.where} does not answer as the protocol says") from error
        try:
            text, usage = found.choices[0].message.content, found.usage
            tokens = (int(usage.prompt_tokens), int(usage.completion_tokens)) if usage else (0, 0)
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise QueryFailed("LLM_REPLY_INVALID", f"{self.where} does not answer as the protocol says") from error
        price = sum(n * each for n, each in zip(tokens, self._prices, strict=True)) / 1e6
        log.info("language model asked", **{
            "gen_ai.operation.name": "chat", "gen_ai.request.model": self._model, "server.address": self.where,
            "gen_ai.usage.input_tokens": tokens[0], "gen_ai.usage.output_tokens": tokens[1],
            "duration_s": round(time.monotonic() - begun, 3), "price": round(price, 6),
        })  # fmt: skip
        return Reply(text if isinstance(text, str) else "", *tokens, price)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()
