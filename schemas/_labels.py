"""What turned out to be true of an incident: what learning compares a diagnosis with."""

from typing import ClassVar, Literal

from pydantic import Field

from schemas._base import Record

Verdict = Literal["cause", "not_cause", "no_fault", "unknown"]
Basis = Literal["person", "ticket", "action"]


class Label(Record):
    """One statement about the cause of one incident. It names the truth and not a diagnosis, so it also judges those
    that are made later, by other models.

    `cause`: `entity` was it. `not_cause`: `entity` was not. `no_fault`: nothing was wrong. `unknown`: somebody looked,
    and nobody found out; it judges nothing, and is counted. Of several statements the best founded counts: what a
    person said before what a ticket says, that before what the outcome of an action shows; of those the latest.
    """

    TYPE: ClassVar[str] = "label"
    id: str
    incident_id: str
    tenant: str = "default"
    verdict: Verdict
    entity: str = ""
    """Plain name of a service; empty for `no_fault` and `unknown`."""
    family: str = ""
    """Fault family, empty where nobody said."""
    basis: Basis = "person"
    said_by: str = Field(min_length=1, max_length=200)
    """Name of the person, number of the ticket, or id of the action."""
    said_ns: int
