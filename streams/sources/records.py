"""Records of our own on the raw topic: changes, calendar entries, silences, edges and alerts that came as CloudEvents.

They travel through the raw topic like everything else, so a replay sees them exactly when the live run did.
"""

from schemas import Alert, CalendarEntry, Change, Record, RecordInvalid, Silence, TopologyEdge, read
from schemas.core import Message
from streams._decoded import Decoded
from streams._errors import SourceError

_TIMES: dict[type[Record], tuple[str, ...]] = {
    Change: ("at_ns",), CalendarEntry: ("start_ns", "end_ns"), TopologyEdge: ("first_ns", "last_ns"),
    Alert: ("at_ns", "said_ns"), Silence: ("start_ns", "end_ns", "said_ns"),
}  # fmt: skip
"""What comes from outside, and its times: they must fit a timestamp."""


class Records:
    """CloudEvents of the types `io.tidegate.change`, `.calendar`, `.silence`, `.edge` and `.alert`, binary mode."""

    kind = "records"
    topics: tuple[str, ...] = ()

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError RECORD_INVALID or RECORD_UNEXPECTED."""
        try:
            record = read(message)
        except RecordInvalid as error:
            raise SourceError(error.what, where=error.where, todo=error.todo, code=error.code) from error
        if not isinstance(record, tuple(_TIMES)):
            raise SourceError(
                f"a record of type '{record.TYPE}' does not come from outside", code="RECORD_UNEXPECTED",
                todo=f"Types that do: {', '.join(f'io.tidegate.{kind.TYPE}' for kind in _TIMES)}",
            )  # fmt: skip
        for name in _TIMES[type(record)]:
            if not 0 <= getattr(record, name) < 1 << 63:
                raise SourceError(
                    f"{type(record).__name__} field '{name}': not a time in nanoseconds", code="RECORD_INVALID"
                )
        return Decoded(records=(record,))


PLUGIN = Records
