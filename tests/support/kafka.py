"""Apache Kafka for tests: one node or three, plain or secured, stopped and killed at will.

Ports lie below the range that the system gives to outgoing connections: a client that calls a dead broker again and
again could otherwise be given the broker's own port, and be connected to itself.
"""

import base64
import random
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # the client's stubs do not name them
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)
from support.fault_proxy import FaultProxy
from support.kafka_security import Security, Via
from support.servers import free_port

from tools.kafka.node import Node, wait_for

HOST = "127.0.0.1"


def is_produce(chunk: bytes) -> bool:
    """For `on` of a fault proxy: a request begins with its length and then, in two bytes, what it is: 0 is a write."""
    return len(chunk) > 8 and chunk[4:6] == b"\0\0"


class Cluster:
    """`with Cluster(3) as kafka:` starts three nodes, ready when the block begins, gone when it ends.

    nodes: 1 or 3; each is broker and controller. Three replicate every topic three times and want two in sync.
    security: "secured" asks every client who it is and denies what no ACL allows (tests/support/kafka_security.py).
    proxied: clients reach node n only through `proxy(n)`, the nodes reach each other without.
    settings: broker settings over those of tools/kafka/node.py.
    """

    def __init__(
        self,
        nodes: int = 1,
        *,
        security: Literal["plaintext", "secured"] = "plaintext",
        proxied: bool = False,
        settings: Mapping[str, str] | None = None,
        heap: str = "384m",
    ) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="tidegate-kafka-"))
        self._ports = {n: (free_port(), free_port(), free_port()) for n in range(1, nodes + 1)}
        self._proxies = {n: FaultProxy((HOST, at[0]), free_port(), HOST) for n, at in self._ports.items() if proxied}
        self._security = Security(self.place / "security") if security == "secured" else None
        self._id = base64.urlsafe_b64encode(random.SystemRandom().randbytes(16)).decode().rstrip("=")
        self._nodes = {
            n: Node(
                self.place / f"node-{n}",
                {**self._settings(n), **(settings or {})},
                heap=heap,
                jvm=self._security.jvm if self._security else (),
            )
            for n in self._ports
        }
        self._formatted = False
        for proxy in self._proxies.values():
            proxy.start()

    @property
    def bootstrap(self) -> str:
        """For `bootstrap.servers`: every node, dead or alive; its proxy if it has one."""
        return ",".join(f"{HOST}:{self._door(n)}" for n in self._ports)

    def node(self, number: int) -> Node:
        """`.kill()`, `.stop()`, `.start()` (does not wait), `.pause()`, `.resume()`; numbers begin at 1."""
        return self._nodes[number]

    def proxy(self, number: int = 1) -> FaultProxy:
        """Between the clients and this node; only of a cluster made with proxied=True."""
        return self._proxies[number]

    @property
    def security(self) -> Security:
        """CA, passwords and tokens of a secured cluster."""
        assert self._security, "this cluster is not secured"
        return self._security

    def client(self, user: str = "", via: Via = "scram", **more: Any) -> dict[str, Any]:
        """Settings for any client of librdkafka; `user` and `via` only on a secured cluster."""
        settings: dict[str, Any] = {"bootstrap.servers": self.bootstrap}
        if user:
            settings |= self.security.client(user, via)
            if via == "mtls":  # the listener of certificates, past the proxies
                settings["bootstrap.servers"] = ",".join(f"{HOST}:{inner}" for _, inner, _ in self._ports.values())
        return settings | more

    def admin(self) -> AdminClient:
        """As `admin` where there are users."""
        return AdminClient(self.client("admin" if self._security else "", log_level=4))

    def allow(self, user: str, operation: str, *, topic: str = "", group: str = "", prefix: bool = False) -> None:
        """Add an ACL, e.g. allow("alice", "WRITE", topic="orders"); `prefix` for every name that begins so."""
        of, name = (ResourceType.TOPIC, topic) if topic else (ResourceType.GROUP, group)
        pattern = ResourcePatternType.PREFIXED if prefix else ResourcePatternType.LITERAL
        acl = AclBinding(of, name, pattern, f"User:{user}", "*", AclOperation[operation], AclPermissionType.ALLOW)
        admin = self.admin()
        admin.create_acls([acl])[acl].result(30)

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
                node.format(self._id, self._security.passwords() if self._security else None)
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

    def restart(self, number: int | None = None, *, hard: bool = False) -> None:
        """Stop (or kill) every node, or this one, and start it again; returns when all are ready."""
        for node in self._nodes.values() if number is None else [self._nodes[number]]:
            (node.kill if hard else node.stop)()
        self.start()

    def settle(self) -> None:
        """Wait until every node is there and every replica in sync: nothing of an earlier trouble is left."""
        wait_for(self._is_in_sync, self._nodes.values())

    def _is_in_sync(self) -> bool:
        if not self.is_ready():
            return False
        try:
            topics = self.admin().list_topics(timeout=5).topics.values()
        except KafkaException:
            return False
        return all(len(p.isrs) == len(p.replicas) and p.leader > 0 for t in topics for p in t.partitions.values())

    def heal(self) -> None:
        """No fault in any proxy, every node up and ready."""
        for proxy in self._proxies.values():
            proxy.heal()
        for node in self._nodes.values():
            node.resume()
        self.start()

    def close(self) -> None:
        """Kill everything and remove the folder."""
        self._end()
        shutil.rmtree(self.place, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self._end()  # the folder stays: its logs say why
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _end(self) -> None:
        self.kill()
        for proxy in self._proxies.values():
            proxy.close()
        if self._security:
            self._security.close()

    def _door(self, number: int) -> int:
        """The port that clients of this node use."""
        return self._proxies[number].port if self._proxies else self._ports[number][0]

    def _sees(self, number: int) -> int:
        """How many nodes this one knows of; 0 while it does not answer."""
        port = self._ports[number][0]
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            user = "admin" if self._security else ""
            asked = AdminClient(self.client(user) | {"bootstrap.servers": f"{HOST}:{port}", "log_level": 0})
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
            "advertised.listeners": f"CLIENT://{HOST}:{self._door(number)},INNER://{HOST}:{inner}",
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
            **(self._security.broker() if self._security else {}),
        }


class Broker(Cluster):
    """One plain node."""

    def __init__(self, **options: Any) -> None:
        super().__init__(1, **options)


__all__ = ["HOST", "Broker", "Cluster", "is_produce"]
