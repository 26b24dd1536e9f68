"""Two generations on one input: compared, cut over at a watermark and back, and readers see each record once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.kafka import Broker
from support.pipeline import START_NS, Deployed, recorded_shop

import schemas as sc
from schemas.core import Message
from schemas.signatures import public_text
from streams import GENERATION
from tidegate._cutover import compare, order_cutover
from tidegate._pipeline import build
from tidegate._replay import replay
from tidegate._settings import Settings

PAIR = ("g1", "g2")
PATIENT = {"idle_after_s": 20}
"""Nobody seems idle who is played slowly."""
MINUTE_NS = 60_000_000_000


def generation(base: Deployed, alone: Broker, name: str) -> Deployed:
    place = base.place / name
    place.mkdir()
    return Deployed(
        alone, place, prefix=base.settings.kafka.prefix, partitions=2, kafka={"generation": name}, streams=PATIENT,
        shards={"snapshots": str(place / "state"), "snapshot_every_s": 2},
    )  # fmt: skip


class Load:
    """A shop that is played all the while, slowly once it is three minutes ahead of what readers have seen."""

    def __init__(self, base: Deployed) -> None:
        self.public_ns = START_NS
        self._base = base
        self._player = Thread(target=base.play, args=(self._paced(),))
        self._player.start()

    def _paced(self) -> Iterator[Message]:
        for message in recorded_shop(20):
            time.sleep(1.0 if message.event_ns > self.public_ns + 3 * MINUTE_NS else 0.12)
            yield message

    def wait(self, minute: int) -> None:
        """Until readers have seen that much event time."""
        self._base.wait_until(lambda: self._seen() > START_NS + minute * MINUTE_NS)

    def _seen(self) -> int:
        marks = (m.event_ns for m in self._base.read(sc.ACTIONS) if sc.record_type(m) == "watermark")
        self.public_ns = max(marks, default=self.public_ns)
        return self.public_ns

    def end(self) -> None:
        self.public_ns += 60 * MINUTE_NS
        self._player.join()


def test_cut_over_and_back_publishes_every_record_once(alone: Broker, tmp_path: Path) -> None:
    whole = replay(recorded_shop(20), build(Settings()))
    key = Ed25519PrivateKey.generate()
    pem = tmp_path / "ops.pem"
    pem.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))  # fmt: skip
    trusted = {"keys": {"ops": public_text(key)}}
    base = Deployed(alone, tmp_path, prefix="upgraded", partitions=2, control=trusted, streams=PATIENT)
    n, m = (generation(base, alone, name) for name in PAIR)
    server = subprocess.Popen(
        [sys.executable, "-m", "tidegate", "serve", "--settings", str(base.file), "--generation", "g1",
         "--generation", "g2"],
        env={**os.environ, "PYTHONPATH": os.getcwd()}, stderr=(tmp_path / "serve.log").open("wb"),
    )  # fmt: skip
    try:
        n.start()
        m.start()
        load = Load(base)
        for name, minute in (("g2", 5), ("g1", 11)):
            load.wait(minute)
            order_cutover(base.kafka, PAIR, name, issuer="ops", key=pem, lead_ns=MINUTE_NS)
        load.end()
        base.wait_until(lambda: base.has_ended("serve"))
        found = compare(base.kafka, PAIR)
        assert found.are_equal and found.incidents > 0
        published = [m.header("ce_id") for t in (sc.INCIDENTS, sc.DIAGNOSES, sc.ACTIONS) for m in base.read(t)]
        assert len(published) == len(set(published))
        assert base.run().digest == whole.digest
        by = [m.header(GENERATION) for m in base.read(sc.ACTIONS) if sc.record_type(m) == "watermark"]
        assert [name for i, name in enumerate(by) if i == 0 or by[i - 1] != name] == ["g1", "g2", "g1"]
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(120)
        n.kill()
        m.kill()
