"""What people say of a service: whose it is, what customers were promised of it, which figures of business it moves."""

from typing import ClassVar, Literal

from pydantic import Field

from schemas._base import Record
from schemas._ids import canonical, sha256


class Objective(Record):
    """A promise. most: share of requests that may fail, 0 to 1, or seconds that the mean request may take."""

    TYPE: ClassVar[str] = "objective"
    of: Literal["error_ratio", "latency"]
    most: float = Field(gt=0, le=1e6)
    title: str = Field(default="", max_length=200)


class ServiceFacts(Record):
    """What is known of one service, by its plain name; an empty tenant stands for all."""

    TYPE: ClassVar[str] = "service-facts"
    tenant: str = ""
    service: str = Field(min_length=1, max_length=200)
    owner: str | None = Field(default=None, max_length=200)
    escalation: list[str] = Field(default=[], max_length=20)
    objectives: list[Objective] = Field(default=[], max_length=20)
    business: list[str] = Field(default=[], max_length=50)
    """Names of business metrics that suffer when it does, whatever service sends them."""


class ServiceBook(Record):
    """All of it, as it was when a process started."""

    TYPE: ClassVar[str] = "service-book"
    services: list[ServiceFacts] = []

    @property
    def digest(self) -> str:
        return sha256(canonical(self.model_dump(mode="json")))
