"""Tells people: one keyed POST to the webhook of the service's owner (a chat, an ITSM, an on-call tool).

The key of the attempt goes along as `Idempotency-Key`, so a receiver that keeps keys tells a repeat apart; we never
send twice. What became of a lost call cannot be read, and is then said to be unreadable.
Source: IETF draft-ietf-httpapi-idempotency-key-header-06.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from actions._executor import Capabilities, Effect, ExecutorSettings, Mark, Reading, TargetAway, Written
from actions.executors._http import call
from schemas import Json, canonical


class WebhookSettings(ExecutorSettings):
    url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """Where the owner is told whose service is not named below."""
    services: dict[str, str] = {}
    """URL by name of the service."""
    token_file: Path | None = None
    """A file with the bearer token that goes along."""
    ca_file: Path | None = None


class Webhook:
    kind = "webhook"
    settings: type[ExecutorSettings] = WebhookSettings
    verbs = ("notify.owner",)
    capabilities: ClassVar[Mapping[str, Capabilities]] = {"notify.owner": Capabilities(False, False, False, False)}
    permissions: ClassVar[Mapping[str, tuple[Mapping[str, Json], ...]]] = {"notify.owner": ({"http": ["POST"]},)}
    set_up = ""

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings

    def read(self, effect: Effect) -> Reading:
        """Nothing can be read; the address is what the message is bound to."""
        url = self._url(effect)
        return Reading(url, "unread", "unread", {"is_told": None})

    def check(self, effect: Effect, reading: Reading) -> str | None:
        return None

    def write(self, effect: Effect, mark: Mark, reading: Reading) -> Written:
        body = canonical({"target": effect.target, "verb": effect.verb, "key": mark.key, **effect.parameters})
        answer = call(
            "POST", reading.uid, body=body, timeout_s=self._settings.timeout_s,
            headers={"Content-Type": "application/json", "Idempotency-Key": f'"{mark.text()}"'},
            token_file=self._settings.token_file, ca_file=self._settings.ca_file,
        )  # fmt: skip
        if answer.is_lost or answer.status >= 500:
            return Written("lost", f"HTTP_{answer.status}")
        return Written("written") if answer.is_ok else Written("refused", f"HTTP_{answer.status}")

    def fence(self, effect: Effect, epoch: int) -> None:
        return None

    def _url(self, effect: Effect) -> str:
        url = self._settings.services.get(str(effect.parameters.get("service")), self._settings.url)
        if not url:
            raise TargetAway(f"no webhook is set for {effect.target}", is_absent=True)
        return url


PLUGIN = Webhook
