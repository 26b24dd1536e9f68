"""Incidents and change requests of ServiceNow, as the business rule in docs/connect/servicenow.md posts them.

ServiceNow has no webhook of its own; the rule posts the columns of the record under the names that the Table API has,
and the table. A change request is a maintenance window of its service while it is planned, and a change once it is
implemented. Times of ServiceNow are UTC without a zone. Source: Table API; states of `incident` and `change_request`.
"""

import schemas as sc
from schemas.core import Message
from streams._decoded import Decoded
from streams._entities import tenant_of
from streams._intake import Intake
from streams.sources._webhook import Fields, change, entity_of, service_in, short, signals

_CODE = "SERVICENOW_INVALID"
_OVER = ("6", "7", "8", "resolved", "closed", "canceled", "cancelled")
_CANCELLED = ("4", "canceled", "cancelled")
_IMPLEMENTED = ("0", "3", "review", "closed", "closed complete")


class ServiceNow:
    kind = "servicenow"
    topics: tuple[str, ...] = ()
    intake = Intake(paths=("/v1/servicenow",), keeps=("x-tidegate-service",))

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError SERVICENOW_INVALID naming the field. Records of another table are empty."""
        body = Fields.of(message, _CODE)
        table, record = body.text("table"), body.part("record")
        if table == "incident":
            alert = _incident(message, record)
            return Decoded(records=(alert,), logs=signals(message, [alert]), is_occasional=True)
        return Decoded(records=_change(message, record)) if table == "change_request" else Decoded()


PLUGIN = ServiceNow


def _service(message: Message, record: Fields) -> str:
    return service_in(message, {}, short(record.any("cmdb_ci", "business_service")))


def _incident(message: Message, record: Fields) -> sc.Alert:
    number, tenant, service = record.text("number"), tenant_of(message), _service(message, record)
    at = record.time("sys_updated_on", default=message.received_ns)
    is_over = record.any("state", "incident_state").lower() in _OVER
    is_taken = bool(record.any("assigned_to"))
    ended = record.time("resolved_at", "closed_at", default=at) if is_over else None
    return sc.Alert(
        id=sc.record_id("alert", tenant, "servicenow", record.text("sys_id")), tenant=tenant,
        entity_id=entity_of(message, service), service=service, kind="incident",
        state="resolved" if is_over else "acknowledged" if is_taken else "firing", name=number,
        title=record.any("short_description") or number, severity=record.any("priority"),
        at_ns=record.time("opened_at", "sys_created_on", default=at), said_ns=at, until_ns=ended, system="servicenow",
        reference=record.any("sys_id"), author=record.any("assigned_to", "sys_updated_by") or None,
        labels={"correlation_id": found} if (found := record.any("correlation_id")) else {},
    )  # fmt: skip


def _change(message: Message, record: Fields) -> tuple[sc.Record, ...]:
    sys_id, number, tenant = record.text("sys_id"), record.text("number"), tenant_of(message)
    state, service = record.any("state").lower(), _service(message, record)
    title = f"{number}: {record.any('short_description')}"
    found: list[sc.Record] = []
    if "start_date" in record and "end_date" in record:
        start, end = record.time("start_date"), record.time("end_date")
        found.append(sc.CalendarEntry(
            id=sc.record_id("calendar", tenant, "servicenow", sys_id), tenant=tenant, kind="maintenance", title=title,
            start_ns=start, end_ns=start if state in _CANCELLED else max(start, end), services=[service],
        ))  # fmt: skip
    if state in _IMPLEMENTED:
        at = record.time("work_end", "closed_at", "sys_updated_on", default=message.received_ns)
        found.append(change(
            message, "servicenow", (sys_id,), service, "other", record.time("work_start", default=at), title,
            reference=number, author=record.any("assigned_to", "requested_by"),
        ))  # fmt: skip
    return tuple(found)
