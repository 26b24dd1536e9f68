"""Apache Kafka for tests: one node or three, plain or secured, stopped and killed at will.

Ports lie below the range that the system gives to outgoing connections: a client that calls a dead broker again and
again could otherwise be given the broker's own port, and be connected to itself.
"""

import base64
import random
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from tools.kafka.node import Node, wait_for

HOST = "127.0.0.1"
PORTS = range(15000, 32000)


def free_ports() -> Iterator[int]:
    """Ports on which nothing listens, each only once."""
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        yield port


class Cluster:
    """`with Cluster(3) as kafka:` starts three nodes, ready when the block begins, gone when it ends.

    nodes: 1 or 3; each is broker and controller. Three replicate every topic three times and want two in sync.
    settings: broker settings over those of tools/kafka/node.py.
    """

    def __init__(self, nodes: int = 1, *, settings: Mapping[str, str] | None = None, heap: str = "384m") -> None:
        self.place = Path(tempfile.mkdtemp(prefix="tidegate-kafka-"))
        ports = free_ports()
        self._ports = {n: (next(ports), next(ports), next(ports)) for n in range(1, nodes + 1)}
        self._id = base64.urlsafe_b64encode(random.SystemRandom().randbytes(16)).decode().rstrip("=")
        self._nodes = {
            n: Node(self.place / f"node-{n}", {**self._settings(n), **(settings or {})}, heap=heap) for n in self._ports
        }
        self._formatted = False

    @property
    def bootstrap(self) -> str:
        """For `bootstrap.servers`: every node, dead or alive."""
        return ",".join(f"{HOST}:{client}" for client, _, _ in self._ports.values())

    def node(self, number: int) -> Node:
        """`.kill()`, `.stop()`, `.start()`, `.pause()`, `.resume()`; numbers begin at 1. `start()` here does not wait."""
        return self._nodes[number]

    def client(self, **more: Any) -> dict[str, Any]:
        """Settings for any client of librdkafka."""
        return {"bootstrap.servers": self.bootstrap, **more}

    def admin(self) -> AdminClient:
        return AdminClient(self.client())

    def topic(self, name: str, partitions: int = 1, **config: Any) -> str:
        """Make a topic; names of settings are written with `_` for `.`. Returns the name."""
        settings = {key.replace("_", "."): str(value) for key, value in config.items()}
        admin = self.admin()
        admin.create_topics([NewTopic(name, partitions, len(self._nodes), config=settings)])[name].result(30)
        return name

    def start(self) -> Self:
        """Start every node that does not run, and wait until each answers a request for metadata."""
        if not self._formatted:
            for node in self._nodes.values():
                node.format(self._id)
            self._formatted = True
        for node in self._nodes.values():
            node.start()
        wait_for(self.is_ready, self._nodes.values())
        return self

    def is_ready(self) -> bool:
        """Every node itself says that all nodes are there."""
        return all(self._sees(number) == len(self._nodes) for number in self._nodes)

    def stop(self) -> None:
        """SIGTERM to every node."""
        for node in self._nodes.values():
            node.stop()

    def kill(self) -> None:
        """SIGKILL to every node at once; `start()` brings them back with what they had written."""
        for node in self._nodes.values():
            node.kill()

    def restart(self, *, hard: bool = False) -> None:
        """Stop (or kill) every node and start it again; returns when all are ready."""
        (self.kill if hard else self.stop)()
        self.start()

    def close(self) -> None:
        """Kill everything and remove the folder."""
        self.kill()
        shutil.rmtree(self.place, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.kill()  # the folder stays: its logs say why
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _sees(self, number: int) -> int:
        """How many nodes this one knows of; 0 while it does not answer."""
        port = self._ports[number][0]
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            asked = AdminClient(self.client() | {"bootstrap.servers": f"{HOST}:{port}", "log_level": 0})
            return len(asked.list_topics(timeout=2).brokers)
        except (OSError, KafkaException):
            return 0

    def _settings(self, number: int) -> dict[str, str]:
        client, inner, controller = self._ports[number]
        copies = len(self._ports)
        insync = min(2, copies)
        return {
            "process.roles": "broker,controller",
            "node.id": str(number),
            "controller.quorum.voters": ",".join(f"{n}@{HOST}:{ports[2]}" for n, ports in self._ports.items()),
            "listeners": f"CLIENT://{HOST}:{client},INNER://{HOST}:{inner},CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": f"CLIENT://{HOST}:{client},INNER://{HOST}:{inner}",
            "listener.security.protocol.map": "CLIENT:PLAINTEXT,INNER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "INNER",
            "controller.listener.names": "CONTROLLER",
            "default.replication.factor": str(copies),
            "min.insync.replicas": str(insync),
            "offsets.topic.replication.factor": str(copies),
            "transaction.state.log.replication.factor": str(copies),
            "transaction.state.log.min.isr": str(insync),
            "share.coordinator.state.topic.replication.factor": str(copies),
            "share.coordinator.state.topic.min.isr": str(insync),
        }


class Broker(Cluster):
    """One plain node."""

    def __init__(self, **options: Any) -> None:
        super().__init__(1, **options)


__all__ = ["HOST", "Broker", "Cluster", "free_ports"]
