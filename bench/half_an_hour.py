"""Half an hour without Kafka and without chat while actions run: `python -m bench.half_an_hour [--minutes 30]`.

A real broker, a real gateway over a real repository, the production worker, this machine's clock. Two actions wait for
a person when the broker is stopped; the chat's address is dead all the time, and people can be reached by a second one.
Within the first minute one of the two is approved (its evidence is still fresh) and has to be carried out and to end,
the other after half of the time (its evidence is old by then, so approval or not, it may not act). When Kafka is back,
a decision of ten minutes ago is read, which may not act either. Kept: what each came to, what was
written in the repository and when, what people were told and by which way, and whether the topic has every record in
order. It cannot go on where it was stopped: half an hour is half an hour.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from confluent_kafka import Consumer, TopicPartition  # noqa: E402
from support import act_place  # noqa: E402
from support.act_place import add_app, gated_now, gateway_of, git, repository, until  # noqa: E402
from support.kafka import Broker  # noqa: E402

from actions import seal  # noqa: E402
from bench.simulation import commit  # noqa: E402
from schemas import ACTIONS, ActionEvent, emit  # noqa: E402
from streams import KafkaSettings, kafka, real_name  # noqa: E402
from streams._kafka_messages import headers_of, to_message  # noqa: E402
from tidegate._act_kafka import KafkaFeed  # noqa: E402

FRESH, LATE, AFTER = "checkout", "cart", "search"
"""Services of the action approved in time, of the one approved late, and of the one read when Kafka is back."""


class Phone:
    """An address that takes every notice and keeps when it came."""

    def __init__(self) -> None:
        self.told: list[tuple[float, str]] = []
        heard = self.told

        class Take(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                notice = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                heard.append((time.time(), f"{notice['urgency']} {notice['group']}"))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *told: Any) -> None:
                """Nothing on the terminal."""

        self.server = HTTPServer(("127.0.0.1", 0), Take)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    with Broker() as broker, tempfile.TemporaryDirectory() as place:
        found = whole(Path(place), broker, told.minutes * 60)
    document = {
        "command": f"python -m bench.half_an_hour --minutes {told.minutes:g}", "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(), **found,
    }  # fmt: skip
    if told.out:
        told.out.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document))
    return 1 if document["wrong"] else 0


def whole(place: Path, broker: Any, seconds: float) -> dict[str, Any]:
    settings = KafkaSettings(brokers=broker.bootstrap, prefix=f"half{time.time_ns()}")
    kafka.create(kafka.admin(settings), settings)
    repository(place)
    for name in (LATE, AFTER):
        add_app(place, name)
    phone, dead = Phone(), Phone()
    dead.server.shutdown()
    dead.server.server_close()
    write(settings, decided(FRESH), decided(LATE))
    marks: dict[str, float] = {}

    async def scene(worker: Any) -> None:
        await until(lambda: states(worker) == dict.fromkeys((FRESH, LATE), "awaiting_approval"))
        broker.stop()
        marks["down"] = time.time()
        await asyncio.sleep(min(20.0, seconds / 4))
        await approve(worker, FRESH)
        await until(lambda: states(worker)[FRESH] == "verifying")
        marks["effect"] = time.time()
        await asyncio.sleep(marks["down"] + seconds / 2 - time.time())
        late = [target_of(docket) for docket in worker.desk.waiting()]
        if any(uid.endswith(f"/{LATE}") for uid in late):
            await approve(worker, LATE)
        await asyncio.sleep(marks["down"] + seconds - time.time())
        marks["unsent"] = len(worker.ledger.unsent(999, ACTIONS))
        broker.start()
        marks["up"] = time.time()
        write(settings, decided(AFTER, age_s=600))
        await until(lambda: AFTER in states(worker) and not worker.ledger.unsent(99, ACTIONS), 180)
        rows = worker.ledger.contents().actions
        marks["open"] = len(worker.ledger.open_actions())
        ends.update({name: one.state for one in rows for name in (service(worker.worker.read(one.key)),)})
        reasons.update({service(worker.worker.read(one.key)): worker.worker.read(one.key).reason for one in rows})

    ends: dict[str, str] = {}
    reasons: dict[str, str] = {}
    with gateway_of(place):
        act_place.run(
            place, scene, lambda positions: KafkaFeed(settings, positions, time.time_ns()),
            people_url=(dead.url, phone.url),
        )  # fmt: skip
    return judged(place, settings, marks, ends, reasons, phone)


def judged(place: Path, settings: Any, marks: Any, ends: Any, reasons: Any, phone: Phone) -> dict[str, Any]:
    written = git("log", "--format=%ct %s", "HEAD", cwd=place / "bare.git").splitlines()
    versions = {
        name: git("show", f"HEAD:apps/{name}/kustomization.yaml", cwd=place / "bare.git").split()[-1]
        for name in (FRESH, LATE, AFTER)
    }
    sequences = told(settings)
    while_down = [what for at, what in phone.told if marks["down"] <= at < marks["up"]]
    wrong = []
    if versions != {FRESH: "v41", LATE: "v42", AFTER: "v42"}:
        wrong.append(f"the repository has {versions}")
    if ends[AFTER] != "advised" or ends[LATE] in ("succeeded", "verifying"):
        wrong.append(f"what was old went on: {ends}")
    if marks["open"]:
        wrong.append(f"{marks['open']} have not ended: {ends}")
    if not while_down:
        wrong.append("nobody was told anything while Kafka and chat were away")
    if any(numbers != list(range(len(numbers))) for numbers in sequences.values()):
        wrong.append(f"the topic has a hole: {sequences}")
    return {
        "minutes_without": round((marks["up"] - marks["down"]) / 60, 2),
        "effect_after_s": round(marks["effect"] - marks["down"], 1), "ends": ends, "reasons": reasons,
        "versions": versions, "commits": len(written), "unsent_when_kafka_came_back": marks["unsent"],
        "records_told": sum(map(len, sequences.values())), "notices_by_the_other_way": len(while_down),
        "notices": sorted(set(while_down)), "wrong": wrong,
    }  # fmt: skip


def decided(name: str, age_s: float = 0.0) -> Any:
    parameters = {"service": name, "change": "chg-1", "from_version": "v42", "to_version": "v41"}
    event = gated_now(age_s=age_s, target=f"default/service/{name}", parameters=parameters)
    return emit(ACTIONS, event, id=event.id, key=event.change.target, source="tidegate/decide", event_ns=event.at_ns)


def write(settings: Any, *emits: Any) -> None:
    producer = kafka.producer(settings)
    for one in emits:
        producer.produce(real_name(one.topic, settings.prefix), one.value, one.key, 0, headers=headers_of(one))
    if producer.flush(60):
        raise RuntimeError("Kafka did not take what was decided")


def told(settings: Any) -> dict[str, list[int]]:
    """The sequence numbers that the worker has told of each action, repeats left out."""
    reader = Consumer(kafka.client_config(settings, role="consumer") | {"group.id": "bench"})
    reader.assign([TopicPartition(real_name(ACTIONS, settings.prefix), 0, 0)])
    events: dict[str, ActionEvent] = {}
    is_end = False
    while not is_end:
        for raw in reader.consume(100, 1.0):
            is_end = is_end or raw.error() is not None
            if raw.error() is None and (message := to_message(raw, ACTIONS)).header("ce_source") == "tidegate/act":
                one = ActionEvent.from_bytes(message.value)
                events[one.id] = one
    reader.close()
    found: dict[str, list[int]] = {}
    for one in events.values():
        found.setdefault(one.change.target, []).append(one.sequence)
    return found


def service(action: Any) -> str:
    return str(action.plan.targets[0]).split("/")[2]


def states(worker: Any) -> dict[str, str]:
    return {service(worker.worker.read(row.key)): row.state for row in worker.ledger.contents().actions}


def target_of(docket: Any) -> str:
    return str(docket.shown["changes"][0]["target"])


async def approve(worker: Any, name: str) -> None:
    docket = next(one for one in worker.desk.waiting() if target_of(one).endswith(f"/{name}"))
    asked = await worker.desk.challenge(docket.ask.action_id, act_place.PERSON, "operator", "ada-1", "approve")
    await worker.desk.vote(docket.ask.action_id, seal(asked, act_place.HERS))


if __name__ == "__main__":
    sys.exit(main())
