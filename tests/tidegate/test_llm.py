"""The real client against servers that lie, stall, flood and fail: each is a code, and none is an answer."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from diagnosis import Candidate, Case, Context, Exhibit, QueryFailed
from diagnosis.reasoners.language_model import LanguageModel
from tidegate import _pipeline
from tidegate._errors import SettingsError
from tidegate._llm import OpenAiChat
from tidegate._settings import Settings

CASE = Case((Candidate("c1", "cart", "error", (Exhibit("e1", "errors"),)), Candidate("c2", "pay", "cpu", ())), 0, 1)
CHOICE = {"best": "c1", "evidence": ["e1"], "note": "n"}
AGREES = {"best": "c1", "evidence": [], "note": ""}


def completion(content: Any, **more: Any) -> bytes:
    usage = {"prompt_tokens": 50, "completion_tokens": 9, "total_tokens": 59}
    message = {"role": "assistant", "content": content if isinstance(content, str) else json.dumps(content)}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return json.dumps({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice],
                       "usage": usage} | more).encode()  # fmt: skip


class Server:
    """Answers in turn; the last answer again and again. asked: bodies, paths and keys that came."""

    def __init__(self, *answers: tuple[int, bytes], wait_s: float = 0.0) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        mine = list(answers)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:
                body = handler.rfile.read(int(handler.headers["Content-Length"]))
                self.asked.append((handler.path, handler.headers["Authorization"], json.loads(body)))
                status, content = mine.pop(0) if len(mine) > 1 else mine[0]
                time.sleep(wait_s)
                handler.send_response(status)
                handler.send_header("Content-Type", "application/json")
                handler.send_header("Content-Length", str(len(content)))
                handler.end_headers()
                handler.wfile.write(content)

            def log_message(handler, format: str, *args: Any) -> None:
                """Quiet."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def serve() -> Iterator[Any]:
    made: list[Server] = []

    def start(*answers: tuple[int, bytes], wait_s: float = 0.0) -> Server:
        made.append(Server(*answers, wait_s=wait_s))
        return made[-1]

    yield start
    for server in made:
        server.http.shutdown()
        server.http.server_close()


def judged(server: Server, **more: Any) -> Any:
    async def run() -> Any:
        reader = OpenAiChat(server.url, "m", "key-1", **more)
        try:
            model = LanguageModel()
            return await model.run(model.ask_all(CASE), "default", Context(llm=reader))  # type: ignore[arg-type]
        finally:
            await reader.close()

    return asyncio.run(run())


def test_a_reply_by_the_schema_is_an_answer_and_its_tokens_are_counted(serve: Any) -> None:
    server = serve((200, completion(CHOICE)), (200, completion(AGREES)))
    answer = judged(server)
    assert answer.findings[0].strength == 1 and answer.spent == {"calls": 2, "tokens_in": 100, "tokens_out": 18}
    path, key, body = server.asked[0]
    assert (path, key, body["temperature"]) == ("/v1/chat/completions", "Bearer key-1", 0)
    assert body["response_format"]["json_schema"]["strict"] is True and "tools" not in body


def test_what_an_incident_cost_is_counted_where_prices_are_said(serve: Any) -> None:
    server = serve((200, completion(CHOICE)), (200, completion(AGREES)))
    assert judged(server, prices=(3.0, 15.0)).spent["price"] == pytest.approx((100 * 3 + 18 * 15) / 1e6)


LIES = {
    "not json": (200, b"<html>"), "empty": (200, b""), "null": (200, b"null"), "no choices": (200, b'{"choices": []}'),
    "a list": (200, b"[1, 2]"), "no content": (200, completion(CHOICE).replace(b'"content"', b'"c"')),
    "a tool call": (200, completion("", tool_calls=[{"id": "1"}])), "prose": (200, completion("Restart the database!")),
    "an invented candidate": (200, completion(CHOICE | {"best": "c7"})),
    "megabytes": (200, completion("x" * 3_000_000)),
    "usage of a liar": (200, completion(CHOICE | {"evidence": ["e9"]}, usage={"prompt_tokens": "x"})),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_server_is_no_answer(serve: Any, lie: str) -> None:
    with pytest.raises(QueryFailed, match="LLM_REPLY_INVALID"):
        judged(serve(LIES[lie]))


@pytest.mark.parametrize(
    ("status", "code"), [(401, "LLM_DENIED"), (403, "LLM_DENIED"), (429, "LLM_REFUSED"), (500, "LLM_REFUSED")]
)
def test_a_status_is_a_code_and_is_not_tried_again(serve: Any, status: int, code: str) -> None:
    server = serve((status, b'{"error": {"message": "no"}}'))
    with pytest.raises(QueryFailed, match=code):
        judged(server)
    assert len(server.asked) == 1


def test_a_slow_server_and_one_that_is_away_are_codes(serve: Any) -> None:
    with pytest.raises(QueryFailed, match="LLM_TIMEOUT"):
        judged(serve((200, completion(CHOICE)), wait_s=1.0), timeout_s=0.2)
    gone = serve((200, b""))
    gone.http.shutdown()
    gone.http.server_close()
    with pytest.raises(QueryFailed, match="LLM_UNREACHABLE"):
        judged(gone)


def test_a_server_that_reports_too_many_tokens_only_ends_its_own_budget(serve: Any) -> None:
    usage = {"prompt_tokens": 10**9, "completion_tokens": 1, "total_tokens": 10**9}
    with pytest.raises(QueryFailed, match="LLM_BUDGET"):
        judged(serve((200, completion(CHOICE, usage=usage))))


def test_the_language_model_is_asked_only_where_one_is_set(tmp_path: Any) -> None:
    assert "language_model" not in _pipeline.asked(Settings())
    told = Settings.model_validate({"investigate": {"llm": {"model": "m", "url": "http://127.0.0.1:1/v1"}}})
    assert _pipeline.asked(told)["language_model"].subsystem == "llm"


def test_a_key_given_twice_is_a_sentence(tmp_path: Any) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("investigate: {llm: {model: m, key: a, key_file: b}}")
    with pytest.raises(SettingsError, match="not both"):
        Settings.read(file)
