"""The shipped verbs, runbooks and policies, as the roof would load them."""

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path

import pytest

import actions.verbs
import policies
import runbooks
from actions import Policies, Runbooks, Verb, Verbs, load_policies, load_runbooks

PLUGINS: list[type[Verb]] = [
    importlib.import_module(f"actions.verbs.{module.name}").PLUGIN
    for module in pkgutil.iter_modules(actions.verbs.__path__)
    if not module.name.startswith("_")
]


def texts(folder: str) -> dict[str, str]:
    return {f"{Path(folder).name}/{path.name}": path.read_text() for path in sorted(Path(folder).glob("*.yaml"))}


@pytest.fixture(scope="session")
def policy_texts() -> dict[str, str]:
    return texts(policies.__path__[0])


@pytest.fixture(scope="session")
def runbook_texts() -> dict[str, str]:
    return texts(runbooks.__path__[0])


@pytest.fixture(scope="session")
def make_verbs() -> Callable[..., Verbs]:
    return lambda *executors: Verbs(PLUGINS, executors)


@pytest.fixture(scope="session")
def verbs() -> Verbs:
    return Verbs(PLUGINS)


@pytest.fixture(scope="session")
def shipped_policies(policy_texts: dict[str, str]) -> Policies:
    return load_policies(policy_texts)


@pytest.fixture(scope="session")
def shipped_runbooks(runbook_texts: dict[str, str], verbs: Verbs) -> Runbooks:
    return load_runbooks(runbook_texts, verbs)
