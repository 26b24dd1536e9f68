"""State in an object store: the same promises as in a directory, kept by a server that speaks S3."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import fs
from support.kafka import Broker
from support.object_store import CREDENTIALS, ObjectStore
from support.pipeline import Deployed, recorded_shop

from streams import SnapshotError, SnapshotStore, TransportError
from streams._kafka_snapshots import Manifests
from tidegate._pipeline import build
from tidegate._replay import replay
from tidegate._settings import Settings


@pytest.fixture(scope="module")
def bucket() -> Iterator[ObjectStore]:
    with pytest.MonkeyPatch.context() as patch, ObjectStore("snapshots") as store:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield store


def listing(store: SnapshotStore) -> str:
    """Names of everything that it keeps."""
    return "\n".join(info.path for info in store._files.get_file_info(fs.FileSelector(store._root, recursive=True)))


def test_what_is_written_is_read_and_the_two_newest_are_kept(bucket: ObjectStore) -> None:
    store = SnapshotStore(bucket.address("kept"))
    names = [store.write("detect@0", n, b"state %d" % n)[:2] for n in range(4)]
    store.forget("detect@0", 4)
    assert [store.read(*name) for name in names[2:]] == [b"state 2", b"state 3"]
    for name in names[:2]:
        with pytest.raises(SnapshotError) as error:
            store.read(*name)
        assert error.value.code == "SNAPSHOT_MISSING"


def test_what_was_changed_there_is_refused(bucket: ObjectStore) -> None:
    store = SnapshotStore(bucket.address("changed"))
    name, digest, _ = store.write("detect@0", 0, b"state")
    store._files.open_output_stream(f"{store._root}/{name}").close()
    with pytest.raises(SnapshotError) as error:
        store.read(name, digest)
    assert error.value.code == "SNAPSHOT_CORRUPT"


def test_killed_in_mid_stream_it_goes_on_from_the_object_store(
    bucket: ObjectStore, alone: Broker, tmp_path: Path
) -> None:
    messages = recorded_shop()
    whole = replay(messages, build(Settings()))
    deployed = Deployed(
        alone, tmp_path, prefix="objects", partitions=2,
        shards={"snapshots": bucket.address("state"), "snapshot_every_s": 1},
    )  # fmt: skip
    try:
        half = len(messages) // 2
        deployed.play(messages[:half])
        deployed.start()
        known = Manifests(deployed.kafka)  # a snapshot counts from its manifest on, a moment after it is kept
        deployed.wait_until(lambda: "0" in known.of("detect") and "otlp_metrics/0" in known.of("normalise"))
        deployed.kill()
        deployed.play(messages[half:])
        deployed.start()
        deployed.wait(lambda _: deployed.has_ended())
        deployed.stop()
        lines = map(json.loads, (tmp_path / "process-002.log").read_text().splitlines())
        begun = {line["task"]: line["snapshot"] for line in lines if line.get("event") == "task started"}
        assert begun["detect@0"] >= 0 and begun["normalise@otlp_metrics/0"] >= 0
        assert deployed.run().digest == whole.digest
        assert deployed.totals()[0].dump() == whole.ledger.dump()
        assert not list(tmp_path.rglob("*.snapshot"))
    finally:
        deployed.kill()


def test_a_store_that_does_not_answer_is_a_sentence(bucket: ObjectStore) -> None:
    nobody = bucket.address("state").replace(str(bucket.port), "1")
    with pytest.raises(TransportError, match=r"shards\.snapshots") as error:
        SnapshotStore(nobody)
    assert error.value.code == "SNAPSHOT_STORE"
