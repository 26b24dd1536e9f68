"""`pytest tests/simulation --sim-seed 908`: one history, with its timeline when it breaks something."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--sim-seed", action="append", type=int, default=[], help="a seed to simulate; may be repeated")
    parser.addoption("--sim-faults", choices=["none", "light", "full"], default="full")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "sim_seed" in metafunc.fixturenames:
        seeds = metafunc.config.getoption("--sim-seed", default=[]) or list(range(12))
        metafunc.parametrize("sim_seed", seeds)


@pytest.fixture
def sim_faults(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--sim-faults", default="full"))
