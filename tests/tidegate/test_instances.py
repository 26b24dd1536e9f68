"""A look tells which instances fell silent, and which of them another goes on for."""

import pytest
from support.prometheus_api import FakePrometheus, serving

from schemas.core import NS
from streams import Recording
from tidegate import _pipeline, _replay, _show
from tidegate._look import look
from tidegate._look_page import page
from tidegate._look_read import History
from tidegate._settings import Settings

START = 1_772_409_600


def pod(n, release):
    return f"cart-{release}-x2k4{n}"


def speaks(name, begin_s, end_s):
    return (
        {"__name__": "queue", "pod": name},
        lambda t: 5.0 if START + begin_s <= t < START + end_s else None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Three pods replaced one after the other, then one taken away."""
    old, new = "7d9f8b6c5d", "5b6c7d8e9f"
    rows = [speaks(pod(n, old), 0, 3600 + 300 * n) for n in (2, 4, 5)]
    rows += [speaks(pod(n, new), 3480 + 300 * n, 8000 if n == 5 else 20_000) for n in (2, 4, 5)]
    keep = tmp_path_factory.mktemp("instances") / "recording"
    with serving(FakePrometheus(rows, {"queue": "gauge"})) as url:
        end = (START + 10_800) * NS
        found = look(History(url), Settings(), start_ns=START * NS, end_ns=end, step_s=60, most=10, keep=keep)
    return found, keep, (old, new)


def test_a_deploy_replaced_three_and_one_is_lost(seen):
    found, _, (old, new) = seen
    said = found.document()
    assert [(one["instance"], one["by"]) for one in said["instances_replaced"]] == [
        (f"default/instance/cart/{pod(n, old)}", [f"default/instance/cart/{pod(n, new)}"]) for n in (2, 4, 5)
    ]
    assert [one["instance"] for one in said["instances_lost"]] == [f"default/instance/cart/{pod(5, new)}"]


def test_the_page_and_a_replay_say_so(seen, capsys):
    found, keep, (old, new) = seen
    text = page(found, where="shop")
    assert f"cart/{pod(2, old)}<td>cart/{pod(2, new)}" in text
    assert f"cart/{pod(5, new)}<td>nobody; 1 series" in text
    run = _replay.replay(Recording.open(keep).messages(), _pipeline.build(Settings()))
    _show.show_run(run, keep)
    said = " ".join(capsys.readouterr().out.split())
    assert "3 instances were replaced: " + f"cart/{pod(2, old)} by {pod(2, new)}" in said
    assert f"1 instance fell silent and was not replaced: cart/{pod(5, new)}" in said
