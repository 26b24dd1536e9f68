"""Silences in Alertmanager: exactly one alert of one service, until a stated time.

Alertmanager gives each silence an id of its own and keeps no key, so the comment carries our mark, and one that is
there already is found by its matchers. A second identical silence would silence nothing more. Ending one is an update
that lets it end at once and marks it as taken back, because a deleted one loses its comment.
Source: Alertmanager API v2, /silences.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

from pydantic import Field

from actions._executor import Capabilities, Effect, ExecutorSettings, Mark, Reading, TargetAway, Written, read_mark
from actions.executors._http import Answered, call
from schemas import Json, canonical, sha256

_CAN = Capabilities(is_conditional=False, keeps_mark=True, fences=False, has_server_dry_run=False)
_MAY: tuple[Mapping[str, Json], ...] = (
    {"http": ["GET /api/v2/silences", "GET /api/v2/status", "POST /api/v2/silences"]},
)


class AlertmanagerSettings(ExecutorSettings):
    url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    service_label: str = Field(default="service", min_length=1)
    """The label of alerts that holds the name of the service."""
    token_file: Path | None = None
    ca_file: Path | None = None


class Alertmanager:
    kind = "alertmanager"
    settings: type[ExecutorSettings] = AlertmanagerSettings
    verbs = ("alert.silence", "alert.unsilence")
    capabilities: ClassVar[Mapping[str, Capabilities]] = dict.fromkeys(verbs, _CAN)
    permissions: ClassVar[Mapping[str, tuple[Mapping[str, Json], ...]]] = dict.fromkeys(verbs, _MAY)
    set_up = ""

    def __init__(self, settings: AlertmanagerSettings) -> None:
        self._settings = settings

    def read(self, effect: Effect) -> Reading:
        found, now_s = self._find(effect)
        mark, until_s, held = None, 0, "none"
        if found is not None:
            words = [*str(found.get("comment", "")).split(" "), ""]
            mark = read_mark(words[0])
            held = sha256(canonical([found["id"], found["updatedAt"]]))
            until_s = 0 if mark and words[1] == "alert.unsilence" else _seconds(found["endsAt"])
            until_s = until_s if until_s > now_s else 0
        state: dict[str, Json] = {"until_s": until_s, "now_s": now_s}
        uid = f"{self._settings.url} {effect.parameters['alertname']} {effect.parameters['service']}"
        token = f"{found['id']} {found['startsAt']}" if found and until_s else ""
        return Reading(uid, held, token, state, mark)

    def check(self, effect: Effect, reading: Reading) -> str | None:
        return None

    def write(self, effect: Effect, mark: Mark, reading: Reading) -> Written:
        now_s = int(str(reading.state["now_s"]))
        until_s = int(str(effect.sets["until_s"])) or now_s + 1
        told: dict[str, Json] = {
            "matchers": self._matchers(effect), "startsAt": _text(now_s), "endsAt": _text(until_s),
            "createdBy": "tidegate", "comment": f"{mark.text()} {effect.verb} {effect.target}",
        }  # fmt: skip
        if reading.token:  # the one that is there is changed: with another start it would be replaced
            told["id"], _, told["startsAt"] = reading.token.partition(" ")
        try:
            answer = self._call("POST", "silences", canonical(told))
        except TargetAway as error:
            return Written("refused", error.code, str(error))
        if answer.is_lost or answer.status >= 500:
            return Written("lost", f"HTTP_{answer.status}")
        text = answer.body[:200].decode(errors="replace")
        return Written("written") if answer.is_ok else Written("refused", f"HTTP_{answer.status}", text)

    def fence(self, effect: Effect, epoch: int) -> None:
        return None

    def _find(self, effect: Effect) -> tuple[dict[str, Any] | None, int]:
        """The newest silence with exactly our matchers, and Alertmanager's own time."""
        wanted = self._matchers(effect)
        filters = [("filter", f'{one["name"]}="{one["value"]}"') for one in wanted]
        answer = self._call("GET", f"silences?{urlencode(filters)}")
        if not answer.is_ok:
            raise TargetAway(f"{self._settings.url} answers {answer.status}: {answer.body[:100]!r}")
        try:
            silences = answer.json()
            if not isinstance(silences, list):
                raise ValueError("no list of silences")
            same = [one for one in silences if _same(one["matchers"], wanted)]
            newest = max(same, key=lambda one: str(one["updatedAt"]), default=None)
        except (ValueError, KeyError, TypeError) as error:
            raise TargetAway(f"{self._settings.url} does not answer as Alertmanager does: {error}") from error
        return newest, self._now_s(answer)

    def _now_s(self, answer: Answered) -> int:
        if answer.at_s is None:
            raise TargetAway(f"{self._settings.url} does not say what time it is")
        return answer.at_s

    def _matchers(self, effect: Effect) -> list[Any]:
        names = {
            "alertname": effect.parameters["alertname"],
            self._settings.service_label: effect.parameters["service"],
        }
        return [{"name": n, "value": v, "isRegex": False, "isEqual": True} for n, v in sorted(names.items())]

    def _call(self, method: str, path: str, body: bytes = b"") -> Answered:
        if not self._settings.url:
            raise TargetAway("no Alertmanager is set", is_absent=True)
        return call(
            method, f"{self._settings.url.rstrip('/')}/api/v2/{path}", body=body,
            headers={"Content-Type": "application/json"}, timeout_s=self._settings.timeout_s,
            token_file=self._settings.token_file, ca_file=self._settings.ca_file,
        )  # fmt: skip


def _same(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> bool:
    keys = ("name", "value", "isRegex", "isEqual")
    return sorted([str(one.get(key)) for key in keys] for one in found) == sorted(
        [str(one[key]) for key in keys] for one in wanted
    )


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())


def _text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


PLUGIN = Alertmanager
