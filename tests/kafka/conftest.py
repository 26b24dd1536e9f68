"""Apache Kafka for the whole session. A test may kill what it likes: whoever comes next finds everything up again."""

from collections.abc import Iterator

import pytest
from support.kafka import Broker, Cluster

_started: list[Cluster] = []


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """One plain node; use topics and groups of your own names."""
    with Broker() as broker:
        _started.append(broker)
        yield broker
        _started.remove(broker)


@pytest.fixture
def alone() -> Iterator[Broker]:
    """A plain node for one test: source topics have the names that collectors give them, so deployments share them."""
    with Broker() as broker:
        yield broker


@pytest.fixture(scope="session")
def cluster3() -> Iterator[Cluster]:
    """Three nodes, every topic three times, two in sync."""
    with Cluster(3) as cluster:
        _started.append(cluster)
        yield cluster
        _started.remove(cluster)


@pytest.fixture(scope="session")
def secured() -> Iterator[Cluster]:
    """One node that asks who you are: `secured.client("alice", "scram")` (plain, oauth, mtls), `secured.allow(...)`."""
    with Cluster(security="secured") as cluster:
        _started.append(cluster)
        yield cluster
        _started.remove(cluster)


@pytest.fixture(scope="session")
def proxied() -> Iterator[Cluster]:
    """One plain node behind a fault proxy, `proxied.proxy()`; after each test it is healed."""
    with Cluster(proxied=True) as cluster:
        _started.append(cluster)
        yield cluster
        _started.remove(cluster)


@pytest.fixture(autouse=True)
def _everything_is_up_again() -> Iterator[None]:
    yield
    for cluster in _started:
        cluster.heal()
