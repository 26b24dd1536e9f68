"""What settings say of a service is what runbooks may refer to."""

import pytest
from pydantic import ValidationError

from actions import SERVICE_FACTS
from tidegate._service_settings import Service

WORKLOAD = {"namespace": "shop", "deployment": "payment"}
POOL = {"server": "default/service/orders-db", "role": "orders", "limit": 20, "raised": 24}


def test_all_that_can_be_said_is_all_that_a_runbook_may_refer_to():
    workload = WORKLOAD | {"replicas": 4, "replicas_raised": 6, "cronjob": "nightly-copy"}
    told = Service.model_validate({"kubernetes": workload, "pool": POOL})
    assert told.profile().facts == {
        **workload,
        "pool_server": POOL["server"], "pool_role": "orders", "pool_limit": 20, "pool_raised": 24,
    }  # fmt: skip
    assert told.profile().facts.keys() == SERVICE_FACTS.keys()


@pytest.mark.parametrize("body", [{}, {"kubernetes": WORKLOAD}])
def test_what_nobody_said_is_absent(body):
    assert Service.model_validate(body).profile().facts == body.get("kubernetes", {})


def test_a_workload_that_is_neither_a_deployment_nor_a_cronjob_is_refused():
    with pytest.raises(ValidationError, match="give `deployment`, `cronjob` or both"):
        Service.model_validate({"kubernetes": {"namespace": "shop"}})
