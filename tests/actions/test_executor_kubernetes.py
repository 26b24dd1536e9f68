"""The executor of Kubernetes at a double of its API; tests/live/kubernetes_check.py runs the same at a real one."""

import pytest
from support.kube_double import KubeDouble
from support.kubernetes_cases import *  # noqa: F403


@pytest.fixture
def api(tmp_path):
    double = KubeDouble(tmp_path)
    yield double
    double.stop()
