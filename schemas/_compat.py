"""Whether a changed schema breaks a reader or a writer that is already out there.

Backward: a new reader reads old records. Forward: an old reader reads new records, because a rolling upgrade has both
on one topic. Both are the same question, "does this reader accept all that this writer may write?", asked with the
roles exchanged: structural subtyping over the part of JSON Schema 2020-12 that the models use. Readers ignore
unknown fields unless the schema is closed (`additionalProperties: false`, signed records). It may be too strict: a
keyword that is not understood must be equal on both sides, and one branch must accept what one branch writes.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from schemas._render import ASYNCAPI, HISTORY, versions_of

Schema = Mapping[str, Any]
Direction = Literal["backward", "forward"]

_TEXTS = {"title", "description", "default", "examples", "deprecated", "$schema", "$id", "$defs", "$comment"}
_HANDLED = {
    "$ref", "anyOf", "oneOf", "type", "enum", "const", "properties", "required", "additionalProperties", "items",
    "prefixItems",
}  # fmt: skip
_LOWER = {"minLength", "minItems", "minProperties"}
_UPPER = {"maxLength", "maxItems", "maxProperties"}
_JSON_TYPES = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
    list: "array",
    dict: "object",
}
_BOUNDS = {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"}


class Problem(NamedTuple):
    """One way in which a change breaks somebody. `path` names the field, `what` the value that is not understood."""

    direction: Direction
    path: str
    what: str

    def __str__(self) -> str:
        who = "a new reader cannot read old records" if self.direction == "backward" else "an old reader breaks"
        return f"{self.path}: {self.what} ({self.direction}: {who})"


def check(old_schema: Schema, new_schema: Schema) -> list[Problem]:
    """Every way in which going from the old schema to the new one breaks a reader; empty if none."""
    back = [Problem("backward", path, what) for path, what in _gaps(_Side(new_schema), _Side(old_schema), "", ())]
    ahead = [Problem("forward", path, what) for path, what in _gaps(_Side(old_schema), _Side(new_schema), "", ())]
    return back + ahead


def gate(rendered: Mapping[str, str], committed: Mapping[str, str]) -> list[Problem]:
    """The current schemas against every committed earlier version of the same record and major version.

    Both map a path inside `schemas/` to its text. A record that vanished while its history is there is a problem.
    """
    problems = []
    for path, text in rendered.items():
        if path != ASYNCAPI:
            for version in versions_of(path, committed):
                found = check(json.loads(committed[version]), json.loads(text))
                problems += [p._replace(path=f"{version} {p.path}") for p in found]
    known = {version for path in rendered for version in versions_of(path, committed)}
    orphans = sorted(path for path in committed if path.startswith(HISTORY) and path not in known)
    return problems + [Problem("forward", path, "has no current schema, nobody writes it any more") for path in orphans]


class _Side(NamedTuple):
    """A schema node and the document that its references point into."""

    root: Schema
    node: Schema | None = None

    def at(self, node: Schema | bool) -> "_Side":
        """The node with references followed; `true` is a schema that says nothing."""
        found: Schema = node if isinstance(node, Mapping) else {} if node else {"enum": []}
        while "$ref" in found:
            found = self.root["$defs"][found["$ref"].removeprefix("#/$defs/")]
        return _Side(self.root, found)

    @property
    def schema(self) -> Schema:
        return self.root if self.node is None else self.node

    @property
    def branches(self) -> list["_Side"]:
        options = self.schema.get("anyOf") or self.schema.get("oneOf") or []
        beside = {key: value for key, value in self.schema.items() if key not in ("anyOf", "oneOf")}
        sides = [self.at(option) for option in options]
        return [side._replace(node={**beside, **side.schema}) if _meant(beside) else side for side in sides] or [self]

    @property
    def types(self) -> set[str]:
        if (kind := self.schema.get("type")) is not None:
            return {kind} if isinstance(kind, str) else set(kind)
        return {_JSON_TYPES[type(value)] for value in self.values or ()}

    @property
    def values(self) -> list[Any] | None:
        """The closed set of values, or None if it is open."""
        return [self.schema["const"]] if "const" in self.schema else self.schema.get("enum")


Gap = tuple[str, str]
_Seen = tuple[tuple[int, int], ...]


def _gaps(reader: _Side, writer: _Side, path: str, seen: _Seen) -> Iterator[Gap]:
    """What the writer may write and the reader does not accept, as (path, what)."""
    if (pair := (id(reader.schema), id(writer.schema))) in seen:
        return
    seen = (*seen, pair)
    for branch in writer.branches:
        answers = [list(_branch_gaps(option, branch, path, seen)) for option in reader.branches]
        if all(answers):
            related = [a for a, o in zip(answers, reader.branches, strict=True) if o.types == branch.types]
            yield from min(related or [[(_name(path), f"{_kind(branch)} was not expected here")]], key=len)


def _branch_gaps(reader: _Side, writer: _Side, path: str, seen: _Seen) -> Iterator[Gap]:
    if not _meant(reader.schema):
        return
    yield from _type_gaps(reader, writer, path)
    if reader.values is not None and writer.values is not None:
        for value in writer.values:
            if not any(type(value) is type(known) and value == known for known in reader.values):
                yield _name(path), f"value {json.dumps(value)} is not known"
    elif reader.values is not None:
        yield _name(path), "any value may come where only some are known"
    else:
        yield from _constraint_gaps(reader.schema, writer.schema, path)
    if "object" in writer.types:
        yield from _object_gaps(reader, writer, path, seen)
    if "array" in writer.types:
        yield from _array_gaps(reader, writer, path, seen)


def _type_gaps(reader: _Side, writer: _Side, path: str) -> Iterator[Gap]:
    accepted = reader.types | ({"integer"} if "number" in reader.types else set())
    if reader.types and not writer.types:
        yield _name(path), f"anything may come where {_kind(reader)} is expected"
    elif reader.types and not writer.types <= accepted:
        yield _name(path), f"{_kind(writer)} comes where {_kind(reader)} is expected"


def _object_gaps(reader: _Side, writer: _Side, path: str, seen: _Seen) -> Iterator[Gap]:
    wanted, written = reader.schema.get("properties", {}), writer.schema.get("properties", {})
    rest = reader.schema.get("additionalProperties", True)
    for field in reader.schema.get("required", ()):
        if field not in writer.schema.get("required", ()):
            how = "may be missing" if field in written else "is not written"
            yield _join(path, field), f"a required field {how}"
    for field, schema in written.items():
        if field in wanted:
            yield from _gaps(reader.at(wanted[field]), writer.at(schema), _join(path, field), seen)
        elif rest is False:
            yield _join(path, field), "an unknown field is refused, because the record is signed"
        elif isinstance(rest, Mapping):
            yield from _gaps(reader.at(rest), writer.at(schema), _join(path, field), seen)
    more = writer.schema.get("additionalProperties", True)
    for field in wanted.keys() - written.keys() if isinstance(more, Mapping) else ():
        yield from _gaps(reader.at(wanted[field]), writer.at(more), _join(path, field), seen)
    if isinstance(rest, Mapping) and more is not False and (not written or isinstance(more, Mapping)):
        yield from _gaps(reader.at(rest), writer.at(more), _join(path, "*"), seen)


def _array_gaps(reader: _Side, writer: _Side, path: str, seen: _Seen) -> Iterator[Gap]:
    wanted, written = reader.schema.get("prefixItems", []), writer.schema.get("prefixItems", [])
    for index in range(max(len(wanted), len(written))):
        there = wanted[index] if index < len(wanted) else reader.schema.get("items", True)
        comes = written[index] if index < len(written) else writer.schema.get("items", True)
        yield from _gaps(reader.at(there), writer.at(comes), f"{path}[{index}]", seen)
    if writer.schema.get("maxItems", math.inf) > max(len(wanted), len(written)):
        there, comes = reader.schema.get("items", True), writer.schema.get("items", True)
        yield from _gaps(reader.at(there), writer.at(comes), f"{path}[]", seen)


def _constraint_gaps(reader: Schema, writer: Schema, path: str) -> Iterator[Gap]:
    for key in sorted(_meant(reader) - _HANDLED):
        mine, theirs = reader[key], writer.get(key)
        if key in _LOWER:
            fits = theirs is not None and theirs >= mine
        elif key in _UPPER:
            fits = theirs is not None and theirs <= mine
        elif key in _BOUNDS:
            fits = _within(key, mine, writer)
        else:
            fits = theirs == mine
        if not fits:
            yield _name(path), f"{key} {json.dumps(mine)} is expected, {json.dumps(theirs)} is kept"


def _within(key: str, bound: float, writer: Schema) -> bool:
    """Whether all that the writer may write satisfies the reader's bound, strict or not."""
    sign, plain, strict = (1, "minimum", "exclusiveMinimum") if "inimum" in key else (-1, "maximum", "exclusiveMaximum")
    is_strict = key == strict
    if strict in writer and sign * writer[strict] >= sign * bound:
        return True
    if plain not in writer:
        return False
    return bool(sign * writer[plain] > sign * bound if is_strict else sign * writer[plain] >= sign * bound)


def _meant(schema: Schema) -> set[str]:
    return set(schema) - _TEXTS


def _kind(side: _Side) -> str:
    if side.values is not None:
        return "one of " + ", ".join(json.dumps(value) for value in side.values)
    return " or ".join(sorted(side.types)) or "anything"


def _name(path: str) -> str:
    return path or "(whole record)"


def _join(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field
