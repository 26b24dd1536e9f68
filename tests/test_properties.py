"""What tests/conftest.py holds all properties to."""

import ast
import time
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

HERE = Path(__file__).resolve().parent


def test_a_slow_example_is_no_failure_and_the_next_run_draws_the_same_ones() -> None:
    drawn: list[int] = []

    @settings(settings.get_profile("same"), max_examples=3)
    @given(st.integers())
    def slow(number: int) -> None:
        drawn.append(number)
        time.sleep(0.25)  # the deadline of Hypothesis by itself is 0.2 s

    slow()
    slow()
    assert drawn[:3] == drawn[3:] and settings.default is not None and settings.default.deadline is None


def test_no_property_has_a_deadline_or_a_draw_of_its_own() -> None:
    for path in sorted(HERE.rglob("*.py")):
        if path.name == "conftest.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "settings":
                own = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert not {"database", "derandomize"} & own.keys(), f"{path.name}:{node.lineno}"
                assert own.get("deadline", "None") == "None", f"{path.name}:{node.lineno}"
                assert "function_scoped" not in own.get("suppress_health_check", ""), f"{path.name}:{node.lineno}"
