"""Which series a stage knows: compact definitions, and a fast map from 64-bit ids to rows of the state arrays.

Ids are looked up by binary search in a sorted array, because look-ups come by the million. Definitions are kept as
`_compact.py` says, some 150 bytes, and made objects when somebody asks.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import SeriesDef, SeriesDefs
from schemas.core import I64, U64
from streams._compact import Traits, numbers
from streams._errors import SnapshotError

I32 = NDArray[np.int32]


_SENDER = b',"sender":"'


@dataclass(slots=True)
class Registry:
    """Rows are handed out in order of arrival and never reused."""

    _kept: list[bytes] = field(default_factory=list)
    _known: Traits = field(default_factory=Traits)
    _ids: U64 = field(default_factory=lambda: np.zeros(0, np.uint64))
    _traits: I32 = field(default_factory=lambda: np.zeros(0, np.int32))
    _sorted: U64 = field(default_factory=lambda: np.zeros(0, np.uint64))
    _order: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    senders: dict[int, list[str]] = field(default_factory=dict)
    """Who else writes to a series, by its id; few have any."""

    def __len__(self) -> int:
        return len(self._kept)

    def text(self, kept: bytes) -> bytes:
        """The JSON of what `new` gave."""
        return self._known.text(kept)

    def add(self, series: U64, kept: Sequence[bytes]) -> None:
        """Rows for new series (k,), in this order, as `new` gave them; none may have one already."""
        first = len(self._kept)
        self._kept.extend(kept)
        self._ids = np.concatenate([self._ids, series])
        self._traits = np.concatenate([self._traits, numbers(kept)])
        order = np.argsort(series, kind="stable")
        at = np.searchsorted(self._sorted, series[order])
        self._sorted = np.insert(self._sorted, at, series[order])
        self._order = np.insert(self._order, at, first + order)

    def new(self, definitions: Sequence[SeriesDef]) -> dict[int, bytes]:
        """What to keep of those that have no row yet, by id, in their order. Raises RecordInvalid, FrameInvalid."""
        given = SeriesDefs.of(definitions)
        ids, texts = given.ids, given.texts
        fresh = {int(ids[at]): at for at in np.flatnonzero(self.find(ids) < 0).tolist()}
        return {identity: self._known.compact(texts[at]) for identity, at in fresh.items()}

    def add_new(self, definitions: Sequence[SeriesDef]) -> None:
        """Rows for those that have none yet, in their order."""
        fresh = self.new(definitions)
        self.add(np.fromiter(fresh, np.uint64, len(fresh)), list(fresh.values()))

    def find(self, series: U64) -> I64:
        """Rows int64 (n,) of ids uint64 (n,); -1 where an id is unknown."""
        if not len(self._sorted):
            return np.full(len(series), -1, np.int64)
        at = np.minimum(np.searchsorted(self._sorted, series), len(self._sorted) - 1)
        return np.where(self._sorted[at] == series, self._order[at], -1)

    def row(self, identity: int) -> int:
        """The row of one id, -1 if it is unknown."""
        return int(self.find(np.array([identity], np.uint64))[0])

    def definition(self, row: int) -> SeriesDef:
        """With all its senders, so nobody takes for one voice what two could have said."""
        found = SeriesDef.from_bytes(self.text(self._kept[row]))
        more = self.senders.get(int(self._ids[row])) if self.senders else None
        return found.model_copy(update={"sender": _joined(found.sender, more)}) if more and found.sender else found

    def definition_text(self, row: int) -> bytes:
        """The JSON of the definition of a row, of its first sender."""
        return self.text(self._kept[row])

    def kept(self, identity: int) -> bytes:
        """What is kept of a series that has a row."""
        return self._kept[self.row(identity)]

    def hear(self, identity: int, kept: bytes, text: bytes) -> None:
        """A definition of a series that is known as `kept`: somebody else may write to it."""
        if _SENDER in text and (known := self.text(kept)) != text:
            names = self.senders.get(identity, [])
            more = {*SeriesDef.from_bytes(text).sender.split(",")} - {SeriesDef.from_bytes(known).sender, *names}
            if more:
                self.senders[identity] = sorted([*names, *more])

    def ids(self) -> U64:
        """Ids uint64 (n,) by row; the array is shared, do not write to it."""
        return self._ids

    def traits(self) -> I32:
        """Number of the trait of each row, int32 (n,); shared, do not write to it."""
        return self._traits

    @property
    def kinds(self) -> int:
        """How many traits there are, of series with rows and of those that `new` was given."""
        return len(self._known)

    def examples(self, traits: Iterable[int]) -> list[SeriesDef]:
        """One definition of each of these traits."""
        return [self._known.example(number) for number in traits]

    def ask(self, rows: I64, question: Callable[[SeriesDef], Any]) -> NDArray[Any]:
        """The answer for each row (n,); the question may look at what belongs to a trait, and is put once for each."""
        traits, inverse = np.unique(self._traits[rows], return_inverse=True)
        return np.array([question(definition) for definition in self.examples(traits.tolist())])[inverse]

    def dump(self) -> bytes:
        """One definition a line, by row."""
        return b"\n".join(map(self._known.text, self._kept))

    @classmethod
    def load(cls, data: bytes | None) -> "Registry":
        """Raises SnapshotError where the snapshot held none."""
        if data is None:
            what = "a snapshot of an earlier version: its definitions are kept in another form"
            raise SnapshotError(what, todo="Delete the snapshot; it is rebuilt from the log")
        registry = cls()
        registry.add_new(SeriesDefs(data.splitlines()))
        return registry


def _joined(first: str, more: list[str]) -> str:
    return ",".join(sorted({*first.split(","), *more}))
