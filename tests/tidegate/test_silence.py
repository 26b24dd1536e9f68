"""`tidegate silence` on the directory of a running pipeline, and the silences of an Alertmanager."""

import http.server
import json
import signal
import subprocess
import sys
import threading

import pytest
from typer.testing import CliRunner

import schemas as sc
from schemas.core import NS, Message
from simulation import BadDeploy, shop
from streams import KIND, MemoryLog
from tidegate import _silences
from tidegate._errors import SettingsError
from tidegate._labels import Place
from tidegate._live import Live
from tidegate._pipeline import build
from tidegate._replay import replay
from tidegate._settings import Settings
from tidegate.cli import app

NOW = 1_767_268_800 * NS
GIVEN = [
    {
        "id": "a1", "matchers": [{"name": "service", "value": "cart", "isRegex": False}], "createdBy": "ada",
        "startsAt": "2026-01-01T11:00:00.000Z", "endsAt": "2026-01-01T14:00:00.000Z", "comment": "work",
        "updatedAt": "2026-01-01T11:00:00.000Z", "status": {"state": "active"},
    },
    {
        "id": "a2", "matchers": [{"name": "pod", "value": "(a+)+", "isRegex": True, "isEqual": True}],
        "createdBy": "ada", "startsAt": "2026-01-01T11:00:00Z", "endsAt": "2026-01-01T14:00:00Z", "comment": "",
    },
    {
        "id": "a3", "matchers": [{"name": "service", "value": "mail"}], "createdBy": "ada", "comment": "",
        "startsAt": "2026-01-01T08:00:00Z", "endsAt": "2026-01-01T09:00:00Z",
    },
]  # fmt: skip
"""As Alertmanager 0.27 answers GET /api/v2/silences: one that holds, one that no core may run, one that is over."""


def call(*words, code=0):
    answer = CliRunner().invoke(app, ["silence", *words, "--json"])
    assert answer.exit_code == code, answer.output
    return json.loads(answer.output.splitlines()[-1])


@pytest.fixture
def place(tmp_path):
    Live(tmp_path, Settings()).close()
    return tmp_path


def test_a_silence_is_made_listed_and_ended(place):
    at = ("--run", str(place))
    (made,) = call("add", "--match", "service=cart", "--match", "zone!=test", "--for", "1h30m", "--by", "ada", *at)[
        "silences"
    ]
    assert made["minutes"] == 90 and made["matchers"] == ["service=cart", "zone!=test"] and made["by"] == "ada"
    assert [one["id"] for one in call("list", *at)["silences"]] == [made["id"]]
    call("end", made["id"][:8], *at)
    assert call("list", *at)["silences"] == [] and len(call("list", "--all", *at)["silences"]) == 1


@pytest.mark.parametrize(
    "words", [("--match", "service"), ("--match", "service=~(a+)+"), ("--match", "zone!=x"), ()],
    ids=["no matcher", "takes long", "everything", "nothing"],
)  # fmt: skip
def test_what_says_nothing_or_everything_is_refused(place, words):
    answer = CliRunner().invoke(app, ["silence", "add", *words, "--for", "1h", "--run", str(place)])
    assert answer.exit_code != 0 and not Place(place).read((sc.CALENDAR,)).kept.silences


def test_a_finished_replay_takes_no_silence(tmp_path):
    answer = CliRunner().invoke(app, ["silence", "list", "--run", str(tmp_path)])
    assert isinstance(answer.exception, SettingsError)


def test_a_silence_of_alertmanager_is_taken_over_once_and_again_when_it_changed():
    first = _silences.silences_of(GIVEN, [], NOW)
    assert [(one.author, one.matchers[0].value) for one in first.silences] == [("ada", "cart")]
    assert first.left_out.keys() == {"a2"} and "repeated" in first.left_out["a2"]
    assert _silences.silences_of(GIVEN, first.silences, NOW + NS).silences == []
    ended = [GIVEN[0] | {"endsAt": "2026-01-01T11:59:00Z", "status": {"state": "expired"}}]
    (over,) = _silences.silences_of(ended, first.silences, NOW + NS).silences
    assert over.id == first.silences[0].id and not over.is_active(NOW + NS)


@pytest.fixture
def alertmanager():
    """Its URL and a list of statuses that it answers first, once each."""
    statuses: list[int] = []

    class Alertmanager(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(statuses.pop(0) if statuses else 200 if self.path == "/api/v2/silences" else 404)
            self.end_headers()
            self.wfile.write(json.dumps([GIVEN[0] | {"endsAt": "2099-01-01T00:00:00Z"}]).encode())

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Alertmanager)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", statuses
    server.shutdown()
    server.server_close()


def test_they_are_read_from_where_alertmanager_listens(place, alertmanager):
    words = ("--alertmanager", alertmanager[0], "--run", str(place))
    assert len(call("take", *words)["taken"]) == 1 and call("take", *words)["taken"] == []


def test_an_alertmanager_that_does_not_answer_is_named(place):
    answer = CliRunner().invoke(app, ["silence", "take", "--alertmanager", "http://127.0.0.1:1", "--run", str(place)])
    assert answer.exception.code == "ALERTMANAGER_UNREACHABLE"


def test_taking_again_and_again_outlives_a_failure_and_ends_when_told(place, alertmanager):
    url, statuses = alertmanager
    statuses.append(503)
    command = [sys.executable, "-m", "tidegate", "silence", "take", "--alertmanager", url, "--every-s", "0.2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "--run", str(place), "--json"], **pipes) as process:
        assert len(json.loads(process.stdout.readline())["taken"]) == 1
        process.send_signal(signal.SIGTERM)
        more, failures = process.communicate(timeout=60)
    assert (process.returncode, more) == (0, "")
    assert failures.count("503") == len(failures.splitlines()) == 1


def test_an_incident_that_goes_on_is_snoozed(place):
    one = sc.Diagnosis(id="d", incident_id="3f2a9c1e-1", as_of_ns=NOW, opened_ns=NOW, entities=[], severity=1.0)
    said = sc.emit(sc.DIAGNOSES, one, id="d", key="3f2a9c1e-1", source="test", event_ns=NOW)
    Place(place).send([said], NOW, writer="test")
    (made,) = call("snooze", "3f2a9c1e", "--for", "30m", "--by", "ada", "--run", str(place))["silences"]
    assert made["matchers"] == ["incident_id=3f2a9c1e-1"] and made["minutes"] == 30
    (kept,) = Place(place).read((sc.CALENDAR,)).kept.silences.values()
    assert kept.holds({"incident_id": "3f2a9c1e-1"}) and kept.author == "ada"


def test_a_snoozed_incident_needs_an_incident(place):
    answer = CliRunner().invoke(app, ["silence", "snooze", "abc", "--run", str(place)])
    assert answer.exit_code != 0


@pytest.mark.parametrize(("text", "seconds"), [("30m", 1800), ("1d12h", 129_600), ("0.5h", 1800)])
def test_lengths_of_time(text, seconds):
    assert _silences.span_ns(text) == seconds * NS


@pytest.mark.parametrize("text", ["", "h", "3", "2 h", "1w"])
def test_what_is_no_length_of_time_is_refused(text):
    with pytest.raises(SettingsError):
        _silences.span_ns(text)


def with_silence(messages, **matchers):
    """The silence as a gateway took it, among the first messages of a recording."""
    first = messages[0].received_ns
    one = sc.Silence(
        id="s", matchers=[sc.Matcher(name=name, value=value) for name, value in matchers.items()], author="ada",
        start_ns=first, end_ns=first + 3600 * NS, said_ns=first,
    )  # fmt: skip
    e = sc.emit(sc.RAW, one, id="s", key="gateway", source="test", event_ns=first)
    raw = Message(sc.RAW, 0, 0, e.key, e.value, (*e.headers, (KIND, b"records")), first, first)
    return replay([raw, *messages], build(Settings()))


@pytest.fixture(scope="module")
def recorded():
    log, found = MemoryLog(), []
    fault = BadDeploy(at_s=240, error_ratio=0.5, innocent_s=60)
    for emit in shop(5, NOW, 420, fault=fault, rate=10):
        log.append([emit], writer="shop")
        found.append(log.read([emit.topic], log.last() - 1, 1)[0].message)
    return found


def test_a_silenced_service_breaks_is_recorded_and_nobody_is_told(recorded):
    heard, silenced = with_silence(recorded, service="mail"), with_silence(recorded, tenant="default")
    assert [one.suppressed_by for one in silenced.incidents.values()] == [["silence:s"]]
    assert silenced.actions == [] and heard.actions != []
    assert [one["suppressed_by"] for one in silenced.document()["incidents"]] == [["silence:s"]]
    named = [[d.hypotheses[0].cause.entity for d in run.diagnoses.values()] for run in (silenced, heard)]
    assert named == [["checkout"], ["checkout"]]
    assert not any(one.suppressed_by for one in heard.incidents.values())
    assert with_silence(recorded, tenant="default").digest == silenced.digest != heard.digest
