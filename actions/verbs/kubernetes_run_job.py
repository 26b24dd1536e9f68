"""`kubernetes.run_job`: run a CronJob once more now, as `kubectl create job --from=cronjob/NAME` does.

The run has a name, from which the name of its Job follows: the same name twice is one Job, whoever asks and however
often. A CronJob that is running is left alone. What a job has written cannot be taken back by us, and whether a second
run over the same data does harm only its owners know; so there is no undo, and people approve it.
"""

from collections.abc import Mapping

from pydantic import Field

from actions._contract import Declared, EffectClass, Parameters, Risk
from schemas import Json


class RunJob(Parameters):
    namespace: str = Field(min_length=1)
    cronjob: str = Field(min_length=1, max_length=52)
    run_id: str = Field(pattern="^[A-Za-z0-9._:-]{1,100}$")
    """Names this run; for example the id of the incident."""


class KubernetesRunJob(Declared):
    name = "kubernetes.run_job"
    parameters: type[Parameters] = RunJob
    risk: Risk = "medium"
    is_reversible = False
    effect_class: EffectClass = "conditional"
    permissions: tuple[str, ...] = ("kubernetes: get cronjobs; get, create and patch jobs of the namespace",)
    owner = "platform"
    settle_s = 300
    selectors = ("namespace", "cronjob", "run_id")

    def sets(self, parameters: Parameters) -> dict[str, Json]:
        assert isinstance(parameters, RunJob)
        return {"run_id": parameters.run_id}

    def limit(self, parameters: Parameters, state: Mapping[str, Json]) -> str | None:
        return "a run of it is going on, or nobody knows" if state.get("is_running") is not False else None


PLUGIN = KubernetesRunJob
