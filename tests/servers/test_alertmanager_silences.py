"""Silences of a real Alertmanager are taken over as it says them, also that one was ended."""

import json
import time
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest
from support.alertmanager import running

from schemas.core import NS
from tidegate._silences import asked, silences_of

LENGTH = timedelta(hours=2)


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory):
    with running(tmp_path_factory.mktemp("alertmanager"), {"url": "http://127.0.0.1:9/"}) as url:
        yield url


def made(url, matchers):
    now = datetime.now(UTC)
    body = {
        "matchers": matchers, "startsAt": now.isoformat(), "endsAt": (now + LENGTH).isoformat(), "createdBy": "ada",
        "comment": "moving disks",
    }  # fmt: skip
    request = urllib.request.Request(
        f"{url}/api/v2/silences", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())["silenceID"]


def test_what_it_silences_is_silenced_here_until_it_is_ended_there(alertmanager):
    identity = made(alertmanager, [
        {"name": "service", "value": "cart", "isRegex": False, "isEqual": True},
        {"name": "zone", "value": "(a|b)-.*", "isRegex": True, "isEqual": True},
    ])  # fmt: skip
    time.sleep(0.05)  # it is pending until its clock has passed the start
    taken = silences_of(asked(alertmanager), [], time.time_ns())
    (one,) = taken.silences
    assert not taken.left_out and (one.author, one.comment, one.system) == ("ada", "moving disks", "alertmanager")
    assert 0 < (one.end_ns - one.start_ns) / NS < LENGTH.total_seconds() + 0.01  # it begins when it was taken there
    assert one.holds({"service": "cart", "zone": "b-1"}) and not one.holds({"service": "cart", "zone": "c"})
    assert silences_of(asked(alertmanager), [one], time.time_ns()).silences == []
    request = urllib.request.Request(f"{alertmanager}/api/v2/silence/{identity}", method="DELETE")
    urllib.request.urlopen(request, timeout=10).close()
    (ended,) = silences_of(asked(alertmanager), [one], time.time_ns()).silences
    assert ended.id == one.id and not ended.is_active(time.time_ns())
