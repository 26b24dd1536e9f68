"""Commands in this process, as a script calls them."""

import json

from typer.testing import CliRunner

from tidegate.cli import app


def call(*words):
    """The JSON object that a command ends with; it has to succeed."""
    answer = CliRunner().invoke(app, [*words, "--json"])
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.output.splitlines()[-1])
