"""`make kafka`: one broker on localhost in the foreground, its data kept in `.kafka/data`."""

import base64
import os
import signal
import socket
import sys
from types import FrameType

from tools.kafka.jars import CACHE, KafkaUnavailable
from tools.kafka.node import Node, wait_for

HELLO = """Kafka listens on localhost:{port}; its data is in {place}.
  tidegate topics create --brokers localhost:{port}
  tidegate run --brokers localhost:{port}
Ctrl-C stops it; `make kafka` again goes on with the same data."""


def settings(port: int) -> dict[str, str]:
    """One node; the two ports after `port` are its own business."""
    inner, controller = port + 1, port + 2
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@localhost:{controller}",
        "listeners": f"CLIENT://localhost:{port},INNER://localhost:{inner},CONTROLLER://localhost:{controller}",
        "advertised.listeners": f"CLIENT://localhost:{port},INNER://localhost:{inner}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,INNER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "INNER",
        "controller.listener.names": "CONTROLLER",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
    }


def main() -> int:
    given = os.environ.get("KAFKA_PORT", "9092")
    if not given.isdecimal() or not 0 < int(given) < 65534:
        print(f"KAFKA_PORT is {given}; it must be a port from 1 to 65533.", file=sys.stderr)
        return 1
    port = int(given)
    place = CACHE / "data"
    for taken in (port, port + 1, port + 2):
        if _answers(taken):
            print(
                f"Port {taken} is taken. Stop what listens there (`make kafka-stop` for a broker of ours), "
                f"or choose another: make kafka KAFKA_PORT=19092.",
                file=sys.stderr,
            )
            return 1
    node = Node(place, settings(port), heap=os.environ.get("KAFKA_HEAP", "512m"))
    if not (place / "data" / "meta.properties").exists():
        node.format(base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("="))
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, _interrupt)
    try:
        node.start()
        (place / "pid").write_text(str(os.getpid()))
        wait_for(lambda: _answers(port), [node])
        print(HELLO.format(port=port, place=place), flush=True)
        code = node.wait()
        print(f"Kafka ended by itself with code {code}; {node.log} ends so:\n{node.tail()}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nKafka stops.", flush=True)
        return 0
    finally:
        node.stop()
        (place / "pid").unlink(missing_ok=True)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("localhost", port), timeout=1).close()
    except OSError:
        return False
    return True


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KafkaUnavailable as missing:
        sys.exit(f"Kafka cannot be started: {missing}")
