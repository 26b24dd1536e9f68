"""Git: what did the change of the suspect change: configuration, code, the schema of data, or documentation only?

Compares the two versions that the change record names, in a local clone, by the names of files. Confirms what kind of
change it was; one of documentation only eliminates it.
Source: git-diff(1) `--name-only`.
"""

import re
from collections.abc import Mapping

from pydantic import Field

from diagnosis._contract import Answer, Context, Parameters, QueryFailed, Speaks, Suspect
from diagnosis.queries._numbers import shown

_CONFIG = re.compile(r"(\.(ya?ml|toml|ini|properties|conf|env|json|tf)|(^|/)(Dockerfile|values[^/]*|config/[^/]+))$")
_DATA = re.compile(r"(^|/)(migrations?|schema)/|\.sql$")
_WORDS = re.compile(r"(\.(md|rst|txt|adoc)|(^|/)(LICENSE|CODEOWNERS))$|(^|/)docs/")
_REVISION = r"^[0-9A-Za-z][0-9A-Za-z._/-]{0,199}$"


class Change(Parameters):
    service: str = Field(min_length=1, max_length=200)
    old: str = Field(pattern=_REVISION)
    new: str = Field(pattern=_REVISION)
    onset_ns: int
    end_ns: int


class Git:
    """The share of files of each kind between two versions."""

    kind = "git_change"
    subsystem = "git"
    version = "1"
    about = "what a change changed: configuration, the schema of data, or code"
    evidence: Mapping[str, Speaks] = {
        "asked_config_changed": Speaks("change", "was changed in its configuration"),
        "asked_data_changed": Speaks("change", "was changed in the schema of its data"),
        "asked_code_changed": Speaks("code", "was changed in its code", 0.5),
    }
    cost = 1.0
    timeout_s = 10.0
    parameters: type[Parameters] = Change

    def ask(self, suspect: Suspect) -> Change | None:
        """Only where a change record names two versions that may be revisions."""
        change = suspect.change
        if change is None or not change.version_from or not change.version_to:
            return None
        if not (re.match(_REVISION, change.version_from) and re.match(_REVISION, change.version_to)):
            return None
        return Change(service=suspect.service, old=change.version_from, new=change.version_to,
                      onset_ns=suspect.onset_ns, end_ns=suspect.as_of_ns)  # fmt: skip

    async def run(self, parameters: Parameters, tenant: str, context: Context) -> Answer:
        """Raises QueryFailed."""
        reader = context.git
        if reader is None or not isinstance(parameters, Change):
            raise QueryFailed("GIT_NOT_SET_UP", "no clone is set")
        asked = parameters
        paths = [path for path in await reader.changed(asked.old, asked.new) if not _WORDS.search(path)]
        data = [path for path in paths if _DATA.search(path)]
        config = [path for path in paths if path not in data and _CONFIG.search(path)]
        code = len(paths) - len(data) - len(config)
        found = [
            shown(kind, asked.service, n / len(paths) if paths else 0.0, float(n), len(paths), asked.onset_ns,
                  asked.end_ns)
            for kind, n in (("asked_config_changed", len(config)), ("asked_data_changed", len(data)),
                            ("asked_code_changed", code))
        ]  # fmt: skip
        return Answer(findings=found, cost=1.0)


PLUGIN = Git
