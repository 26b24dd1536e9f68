"""Our records in a schema registry that speaks Confluent's interface (Confluent's own, Karapace, Apicurio, Redpanda).

One subject a record and major version, `PREFIX.change.v1`, so that it stays the same when a record moves to another
topic. All are compared with what stands there before any is registered, by the rules of `tidegate schema check` in both
directions, because a registry says only that something does not fit; whoever starts with an incompatible one is
refused with the fields. What stands there already is not registered again. Nothing is asked while messages flow.
Source: Schema Registry API, `/subjects/{subject}/versions`, `schemaType` JSON.
"""

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import schemas as sc
from schemas import _compat, _render, why
from tidegate._errors import SchemaRegistryError

_TYPE = "application/vnd.schemaregistry.v1+json"
Schema = Mapping[str, Any]


class Registered(NamedTuple):
    """What became of one subject; `is_new` if a version was added."""

    subject: str
    id: int
    is_new: bool


class SchemaRegistry:
    """url: without a path behind the interface's root. user, secret: basic authentication; secret alone: a token."""

    def __init__(
        self, url: str, *, user: str = "", secret: str = "", ca_file: Path | None = None, timeout_s: float = 10.0
    ) -> None:
        self._url, self._timeout_s = url.rstrip("/"), timeout_s
        proof = f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}" if user else f"Bearer {secret}"
        self._headers = {"Content-Type": _TYPE, "Accept": _TYPE} | ({"Authorization": proof} if secret else {})
        self._tls = ssl.create_default_context(cafile=ca_file) if url.startswith("https") else None

    def newest(self, subject: str) -> tuple[int, Schema] | None:
        """Id and schema of the last version; None if there is no such subject. Raises SchemaRegistryError."""
        status, answer = self._ask("GET", f"/subjects/{quote(subject, safe='')}/versions/latest")
        if status == 404:
            return None
        try:
            return int(answer["id"]), json.loads(answer["schema"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._odd(f"'{subject}' has no JSON Schema there") from error

    def register(self, subject: str, schema: Schema) -> int:
        """Its id. Raises SchemaRegistryError, SCHEMA_INCOMPATIBLE if the registry's own rule refuses it."""
        body = {"schemaType": "JSON", "schema": json.dumps(schema, sort_keys=True)}
        status, answer = self._ask("POST", f"/subjects/{quote(subject, safe='')}/versions", body)
        if status == 404 or not isinstance(answer.get("id"), int):
            raise self._odd(f"it did not register '{subject}'")
        return int(answer["id"])

    def _ask(self, method: str, path: str, body: Schema | None = None) -> tuple[int, dict[str, Any]]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._url}{path}", data, self._headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s, context=self._tls) as response:
                return response.status, _object(response.read())
        except urllib.error.HTTPError as error:
            said = _object(error.read())
            if error.code == 404:
                return 404, said
            what = f"answers {error.code}: {str(said.get('message', error.reason))[:300]}"
            code = "SCHEMA_INCOMPATIBLE" if error.code == 409 else ""
            todo = "Its rule is stricter than ours; see docs/kafka.md" if code else "Check kafka.registry"
            raise SchemaRegistryError(what, where=f"{self._url}{path}", todo=todo, code=code) from error
        except (OSError, ValueError) as error:
            raise self._odd(f"cannot be reached: {why(error)}") from error

    def _odd(self, what: str) -> SchemaRegistryError:
        return SchemaRegistryError(what, where=self._url, todo="Check kafka.registry, or take it out")


def ours(prefix: str) -> dict[str, Schema]:
    """The schema of each record that crosses a topic, by subject."""
    return {f"{prefix}.{r.TYPE}.v{r.VERSION}": _render.json_schema(r) for r in sc.RECORDS.values()}


def register_all(registry: SchemaRegistry, wanted: Mapping[str, Schema]) -> list[Registered]:
    """All of them or, where one does not fit what stands there, none.

    Raises SchemaRegistryError; SCHEMA_INCOMPATIBLE names subject, field and which reader would break.
    """
    there = {subject: registry.newest(subject) for subject in wanted}
    problems = [
        f"{subject} {problem}"
        for subject, found in there.items() if found is not None
        for problem in _problems(found[1], wanted[subject])
    ]  # fmt: skip
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise SchemaRegistryError(
            f"what this version writes does not fit what is registered: {'; '.join(problems[:3])}{more}",
            code="SCHEMA_INCOMPATIBLE",
            todo="Run the version that registered it, or give this one a kafka.prefix or kafka.generation of its own",
        )
    rows = []
    for subject, schema in wanted.items():
        found = there[subject]
        is_new = found is None or found[1] != schema
        rows.append(Registered(subject, registry.register(subject, schema) if is_new else found[0], is_new))  # type: ignore[index]
    return rows


def _problems(there: Schema, schema: Schema) -> list[str]:
    try:
        return [str(problem) for problem in _compat.check(there, schema)]
    except (KeyError, TypeError, AttributeError):
        return ["is a schema that Tidegate did not write"]


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
