"""Silences: which telemetry nobody wants to be paged for, from when to when, and who said so.

Matchers are those of Alertmanager: a label equals a value or matches an anchored regular expression, or does not; a
label that is not there is empty; all matchers of a silence must hold. One that would match everything is refused, as
is an expression that could take long: a silence is read by a pure core, at every look.
Source: Alertmanager, API v2 (`/api/v2/silences`), and its rules of matching.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import ClassVar, Self

from pydantic import Field, model_validator

from schemas._base import Record

MOST_PATTERN, MOST_REPEATS, MOST_GROUPS, MOST_VALUE = 200, 3, 5, 256


class Matcher(Record):
    """One condition on a label. Regular expressions are anchored at both ends."""

    TYPE: ClassVar[str] = "matcher"
    name: str = Field(min_length=1, max_length=200)
    value: str = Field(max_length=1000)
    is_regex: bool = False
    is_equal: bool = True
    """False: what does not match."""

    @model_validator(mode="after")
    def _is_readable(self) -> Self:
        if self.is_regex and (fault := pattern_fault(self.value)):
            raise ValueError(f"the expression for '{self.name}' cannot be used: {fault}")
        return self

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether it holds of these labels; of a value only its first 256 characters are looked at by an expression."""
        value = labels.get(self.name, "")
        found = bool(_compiled(self.value).fullmatch(value[:MOST_VALUE])) if self.is_regex else value == self.value
        return found == self.is_equal


class Silence(Record):
    """Nobody is paged, and nothing is done, for what all its matchers hold of, in [start, end).

    The same id again replaces it: ended early, or prolonged. It counts from `said_ns` on, so a replay knows it no
    earlier than the live run did.
    """

    TYPE: ClassVar[str] = "silence"
    id: str
    tenant: str = "default"
    matchers: list[Matcher] = Field(min_length=1, max_length=50)
    start_ns: int
    end_ns: int
    said_ns: int
    author: str = Field(min_length=1)
    """Who does not want to be paged."""
    comment: str = ""
    system: str = "tidegate"
    """Where it was made, for example `alertmanager`."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.end_ns < self.start_ns:
            raise ValueError("it ends before it starts")
        if all(matcher.holds({}) for matcher in self.matchers):
            raise ValueError("it would silence everything: no matcher needs a label")
        return self

    def is_active(self, at_ns: int) -> bool:
        return self.said_ns <= at_ns and self.start_ns <= at_ns < self.end_ns

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether all its matchers hold of these labels."""
        return all(matcher.holds(labels) for matcher in self.matchers)


def pattern_fault(pattern: str) -> str | None:
    """Why an expression cannot be used, or None: unreadable, too long, or repeats that could take very long.

    >>> [pattern_fault(p) for p in ("(api|web)-.*", "(a+)+", r"(.)\\1", "[")]
    [None, 'a group is repeated', 'it looks back or around', 'unterminated character set at position 0']
    """
    if len(pattern) > MOST_PATTERN:
        return f"more than {MOST_PATTERN} characters"
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return str(error)
    plain = re.sub(r"\\[^1-9]", "x", pattern)  # what is escaped repeats nothing
    plain = re.sub(r"\[\^?\]?[^\]]*\]", "x", plain)
    if re.search(r"\\[1-9]|\(\?(?!:|i\))", plain):
        return "it looks back or around"
    plain = re.sub(r"\(\?(:|i\))", "(", plain)
    if re.search(r"\)[*+{?]", plain):
        return "a group is repeated"
    if len(re.findall(r"[*+{?]", plain)) > MOST_REPEATS or plain.count("(") > MOST_GROUPS:
        return f"more than {MOST_REPEATS} repeats or {MOST_GROUPS} groups"
    return None


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.DOTALL)
