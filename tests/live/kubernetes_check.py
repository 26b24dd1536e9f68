"""The executor of Kubernetes against the API server itself: `etcd` (Debian: etcd-server) and `kube-apiserver`.

`pytest tests/live/kubernetes_check.py`; the name keeps it out of `make test`, which needs no service. `go build` in
tools/kube makes a kube-apiserver from its module; KUBE_APISERVER=path names it. Where one is missing it fails.
"""

import os
import shutil
from pathlib import Path

import pytest
from support.kube import Cluster
from support.kubernetes_cases import *  # noqa: F403


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    server = os.environ.get("KUBE_APISERVER") or shutil.which("kube-apiserver")
    etcd = shutil.which("etcd")
    assert server and etcd, "kube-apiserver or etcd is not there"
    cluster = Cluster(Path(server), Path(etcd), tmp_path_factory.mktemp("kube"))
    yield cluster.start()
    cluster.stop()
