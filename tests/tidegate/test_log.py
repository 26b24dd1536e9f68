"""What a process logs goes to stderr, one event a line, and never between the lines of an answer."""

import io
import json
import sys

import pytest
import structlog
from typer.testing import CliRunner

from tidegate._log import log_to_stderr
from tidegate.cli import app


@pytest.fixture(autouse=True)
def _as_it_was():
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def test_a_log_made_before_stderr_was_swapped_and_closed_writes_to_what_it_is_now(monkeypatch):
    log = structlog.get_logger()
    closed, now = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", closed)
    log_to_stderr(for_people=False)
    log.info("one")
    assert json.loads(closed.getvalue())["event"] == "one"
    monkeypatch.setattr(sys, "stderr", now)
    closed.close()
    log.warning("two", code="A_CODE")
    told = json.loads(now.getvalue())
    assert (told["event"], told["level"], told["code"]) == ("two", "warning", "A_CODE")


def test_a_terminal_gets_columns_and_a_pipe_gets_json(monkeypatch):
    for is_terminal in (True, False):
        stream = io.StringIO()
        stream.isatty = lambda is_terminal=is_terminal: is_terminal
        monkeypatch.setattr(sys, "stderr", stream)
        log_to_stderr()
        structlog.get_logger().info("seen", rows=3)
        assert stream.getvalue().startswith("{") is not is_terminal
        assert "seen" in stream.getvalue()


def test_whatever_command_runs_its_log_keeps_out_of_standard_output(monkeypatch, capsys):
    structlog.reset_defaults()
    assert CliRunner().invoke(app, ["policy", "check", "--json"]).exit_code == 0
    structlog.get_logger().warning("beside the answer")
    told = capsys.readouterr()
    assert told.out == "" and "beside the answer" in told.err
