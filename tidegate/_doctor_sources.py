"""`doctor --sources`: asks a running gateway what it heard of each sender, and says what looks wrong.

Silent is a sender that was not heard for three of its usual intervals, and a minute at least; who spoke once may be
one that seldom has something to say.
"""

import http.client
import json
from typing import Any

from schemas import why
from tidegate._errors import GatewayError
from tidegate._reading import address_of, bearer

_TIMEOUT_S = 10.0
_SILENT_S, _USUAL = 60.0, 3
_MOST_LAG_S, _LEAST_COMPLETE = 120.0, 0.8
_TRUST = ("not authenticated", "a source", "a component of the platform", "read by the gateway itself")


def ask(url: str, token: str = "") -> list[dict[str, str]]:
    """Rows {state: ok | bad, what, found, todo}, one a sender. Raises GatewayError."""
    found = _fetch(url, token)
    if not found:
        todo = "See docs/connect: what to check when nothing arrives"
        return [{"state": "bad", "what": "sources", "found": f"nothing was heard since {url} started", "todo": todo}]
    return [_row(source) for source in found]


def _row(source: dict[str, Any]) -> dict[str, str]:
    ago, rate, lag = source["last_seen_s_ago"], source["per_minute"], source["lag_s"]
    problems = []
    if source["usual_s"] is not None and ago > max(_SILENT_S, _USUAL * source["usual_s"]):
        problems.append(f"It is silent for {ago:.0f} s: is it running, does it get answers other than 2xx?")
    if lag is not None and abs(lag) > _MOST_LAG_S:
        problems.append(f"Its data is {lag:.0f} s away from our clock: check clocks and queues")
    if source["completeness"] < _LEAST_COMPLETE:
        problems.append(f"It spoke in {source['completeness']:.0%} of the last minutes")
    said = [
        f"last seen {ago:.0f} s ago", f"{rate:g} messages a minute", f"{source['series']:,} series",
        f"lag {lag:.0f} s" if lag is not None else "lag not known here", f"complete {source['completeness']:.0%}",
        f"trust {source['trust']} ({_TRUST[source['trust']]})",
        *_schemas(source.get("schemas", [])),
    ]  # fmt: skip
    state = "bad" if problems else "ok"
    return {"state": state, "what": source["source"], "found": ", ".join(said), "todo": ". ".join(problems)}


def _schemas(named: list[dict[str, Any]]) -> list[str]:
    """Which conventions it names, most often first."""
    if not named:
        return []
    said = [
        f"{one['url'].rsplit('/', 1)[-1] if one['known'] else one['url'] or 'none'} {one['times']} times"
        + ("" if one["known"] or not one["url"] else " (not known here)")
        for one in sorted(named, key=lambda one: (-one["times"], one["url"]))
    ]
    return [f"schema_url {', '.join(said[:3])}{', ...' if len(said) > 3 else ''}"]


def _fetch(url: str, token: str) -> list[dict[str, Any]]:
    parts, headers = address_of(url), bearer(token)
    if parts is None:
        raise GatewayError(f"'{url[:200]}' is not a URL", todo="Give --sources http://host:4318")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", "/v1/sources", headers=headers)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise GatewayError(
                f"it answers {response.status}: {body[:200].decode('utf-8', 'replace')}", where=url,
                todo="Pass --token of a source with can_read, and the URL of `tidegate up` or `tidegate gateway`",
            )  # fmt: skip
        listed: list[dict[str, Any]] = json.loads(body)["sources"]
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        raise GatewayError(
            f"it does not tell of its sources: {why(error)}"[:300], where=url, todo="Is `tidegate up` running there?"
        ) from error
    return listed
