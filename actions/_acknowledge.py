"""A page counts once a person has acknowledged it; until then it goes further up, and at the top again and again.

What waits is a fact of the ledger beside the timer that rings next, so neither a restart nor another machine forgets
it. Source: seed 001, the diagnosis that was right within minutes and lay unread for eight hours in a channel that
nobody was in.
"""

from collections.abc import Iterable
from typing import NamedTuple

from pydantic_core import from_json

from actions._errors import ActionsError
from actions._ledger import Keep, Ledger, Priority, Timer, Transaction
from actions._ports import Notice
from actions._telling import notice_of, notice_row
from schemas import canonical, record_id
from schemas.core import NS

PAGE = "page/"


class NoPage(ActionsError):
    """Nothing waits under this id: it was acknowledged, or never a page."""

    code = "NO_PAGE"


class Page(NamedTuple):
    """What a person has yet to acknowledge; `notice.level` is how far up it has gone."""

    notice: Notice
    since_ns: int


def opened(told: Iterable[Notice], now_ns: int, wait_ns: int) -> tuple[tuple[Keep, ...], tuple[Timer, ...]]:
    """What waits from now on, of what people were just told. wait_ns: 0 where nobody is waited for."""
    pages = [Page(one, now_ns) for one in told if one.urgency == "page" and not one.of] if wait_ns else []
    timers = tuple(Timer(PAGE + page.notice.id, now_ns + wait_ns) for page in pages)
    return tuple(_kept(page) for page in pages), timers


def waiting(ledger: Ledger) -> list[Page]:
    """By id."""
    return [_read(body) for _, body in ledger.kept(PAGE)]


def raised(ledger: Ledger, timer: str, now_ns: int, wait_ns: int) -> Transaction:
    """The timer rang: one level further up, and it rings again; nothing where it was acknowledged meanwhile."""
    found = dict(ledger.kept(timer)).get(timer)
    if found is None or not wait_ns:
        return Transaction(now_ns, timers=(Timer(timer, None),))
    page = _read(found)
    first, level = page.notice, page.notice.level + 1
    minutes = (now_ns - page.since_ns) // (60 * NS)
    text = f"nobody has acknowledged this for {minutes} minutes: {first.text}"
    again = first._replace(
        id=record_id("notice", "again", first.id, level), text=text, at_ns=now_ns, level=level, of=first.id,
        group=f"again:{first.id}",
    )  # fmt: skip
    kept = _kept(page._replace(notice=first._replace(level=level)))
    return Transaction(now_ns, keeps=(kept,), timers=(Timer(timer, now_ns + wait_ns),), outbox=(notice_row(again),))


def acknowledged(ledger: Ledger, id: str, person: str, now_ns: int) -> Transaction:
    """It waits no longer, and the audit log says who took it. Raises NoPage."""
    name = PAGE + id
    found = dict(ledger.kept(name)).get(name)
    if found is None:
        raise NoPage("no page of this id waits for anybody", where=id, todo="`tidegate waiting` lists what waits")
    leaf = canonical({
        "action": _read(found).notice.action_key, "version": 0, "from": "", "to": "page_acknowledged",
        "reason": person, "at_ns": now_ns, "plan": "",
    })  # fmt: skip
    return Transaction(
        now_ns, Priority.APPROVAL, keeps=(Keep(name, None),), timers=(Timer(name, None),), leaves=(leaf,)
    )


def _kept(page: Page) -> Keep:
    return Keep(PAGE + page.notice.id, canonical({"notice": page.notice._asdict(), "since_ns": page.since_ns}))


def _read(body: bytes) -> Page:
    told = from_json(body)
    return Page(notice_of(told["notice"]), int(told["since_ns"]))
