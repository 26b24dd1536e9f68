"""Records of our own on the raw topic: changes and calendar entries that a gateway or an importer took as CloudEvents.

They travel through the raw topic like everything else, so a replay sees them exactly when the live run did.
"""

from schemas import CalendarEntry, Change, RecordInvalid, TopologyEdge, read
from schemas.core import Message
from streams._decoded import Decoded
from streams._errors import SourceError


class Records:
    """CloudEvents of the types `io.tidegate.change`, `.calendar` and `.edge`, binary mode."""

    kind = "records"
    topics: tuple[str, ...] = ()

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError RECORD_INVALID or RECORD_UNEXPECTED."""
        try:
            record = read(message)
        except RecordInvalid as error:
            raise SourceError(error.what, where=error.where, todo=error.todo, code=error.code) from error
        if not isinstance(record, Change | CalendarEntry | TopologyEdge):
            raise SourceError(f"a {record.TYPE} record does not come from outside", code="RECORD_UNEXPECTED")
        return Decoded(records=(record,))


PLUGIN = Records
