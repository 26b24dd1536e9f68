"""Settings and roles of Kafka as the roof sees them: contradictions are sentences, no stage may do another's work."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import schemas as sc
from streams import TransportError
from tidegate import _access
from tidegate._errors import SettingsError
from tidegate._settings import Settings
from tidegate.cli import app

ROOT = Path(__file__).resolve().parent.parent.parent
ROLES = _access.roles(Settings())
SECRET = "correct horse"


def read(tmp_path: Path, **kafka: object) -> Settings:
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump({"kafka": kafka}))
    return Settings.read(file)


@pytest.mark.parametrize(
    ("security", "said"),
    [
        ({"protocol": "sasl_ssl"}, "mechanism"),
        ({"mechanism": "plain"}, "mechanism"),
        ({"protocol": "sasl_ssl", "mechanism": "plain", "username": "a"}, "password"),
        ({"protocol": "sasl_ssl", "mechanism": "oauthbearer"}, "token_url"),
        ({"protocol": "plaintext", "ca_file": "ca.pem"}, "certificates"),
        ({"protocol": "ssl", "cert_file": "c.pem"}, "belong together"),
        ({"password": "a", "password_file": "b"}, "not both"),
        ({"protocol": "tls"}, "security.protocol"),
        ({"user_name": "a"}, "username"),
    ],
)
def test_settings_that_contradict_each_other_are_a_sentence(tmp_path, security, said):
    with pytest.raises(SettingsError, match=said):
        read(tmp_path, security=security)


def test_a_password_comes_from_its_file_and_shows_nowhere(tmp_path):
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    security = {
        "protocol": "sasl_ssl", "mechanism": "scram-sha-512", "username": "ann",
        "password_file": str(tmp_path / "secret"),
    }  # fmt: skip
    settings = read(tmp_path, brokers="b:9092", security=security)
    assert settings.kafka.plain().security.password == SECRET
    assert SECRET not in f"{settings!r} {settings.model_dump_json()} {settings.kafka.plain()!r}"


def test_a_password_in_the_settings_is_not_dumped(tmp_path):
    security = {"protocol": "sasl_ssl", "mechanism": "plain", "username": "ann", "password": SECRET}
    settings = read(tmp_path, security=security)
    assert SECRET not in f"{settings!r} {settings.model_dump_json()}"


def test_a_password_file_that_is_not_there_is_named(tmp_path):
    security = {"protocol": "sasl_ssl", "mechanism": "plain", "username": "ann", "password_file": "/nowhere/at-all"}
    with pytest.raises(SettingsError, match="/nowhere/at-all"):
        read(tmp_path, security=security).kafka.plain()


def test_brokers_of_the_command_line_win(tmp_path):
    assert read(tmp_path, brokers="a:1").kafka.plain("b:2").brokers == "b:2"


def test_extra_may_not_weaken_delivery(tmp_path):
    with pytest.raises(TransportError, match="acks"):
        read(tmp_path, extra={"acks": "1"}).kafka.plain()


@pytest.mark.parametrize(
    ("role", "topic"),
    [("detect", sc.ACTIONS), ("diagnose", sc.ACTIONS), ("decide", sc.APPROVALS), ("decide", sc.AUDIT),
     ("decide", sc.CONTROL), ("act", sc.APPROVALS), ("approver", sc.ACTIONS), ("investigate", sc.DIAGNOSES),
     ("gateway", sc.CONTROL), ("collector", sc.RAW)],
)  # fmt: skip
def test_a_role_may_not_write_what_another_answers_for(role, topic):
    assert topic not in ROLES[role].writes


def test_a_stage_may_use_its_own_topics():
    assert sc.FRAMES in ROLES["detect"].reads and sc.ANOMALIES in ROLES["detect"].writes
    assert sc.ACTIONS in ROLES["decide"].writes


def test_no_role_is_the_beginning_of_another_so_groups_do_not_mix():
    assert not [(a, b) for a in ROLES for b in ROLES if a != b and b.startswith(a)]


@pytest.mark.parametrize("topic", sc.TOPICS.values(), ids=lambda t: t.name)
def test_the_page_of_topics_says_what_the_table_says(topic):
    count = "as many as wanted" if topic.content == "source" else "N" if topic.partitioned else "1"
    keep = "without end" if topic.keep_days == sc.FOREVER else f"{topic.keep_days} days"
    size = f"{topic.max_message_bytes >> 20} MiB"
    row = f"| `{topic.name}` | {topic.key} | {count} | {topic.cleanup} | {keep} | {size} |\n"
    assert row in (ROOT / "docs/topics.md").read_text()


def test_acls_are_printed_without_a_broker():
    result = CliRunner().invoke(app, ["topics", "acl", "--role", "detect", "--principal", "User:CN={role}", "--json"])
    rows = json.loads(result.stdout.splitlines()[-1])["acls"]
    assert result.exit_code == 0 and {row["principal"] for row in rows} == {"User:CN=detect"}


def test_an_unknown_role_is_a_sentence_with_those_that_there_are():
    with pytest.raises(SettingsError, match="investigate"):
        _access.chosen(Settings(), ["detekt"])


def test_without_the_libraries_the_way_out_is_said_and_the_rest_works():
    code = (
        "import sys; sys.modules['confluent_kafka'] = None\n"
        "import tidegate.cli, streams\n"
        "try: streams.kafka\n"
        "except streams.TransportError as error: print(error.code, error.todo)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "KAFKA_MISSING pip install 'tidegate[kafka]'\n"


def test_no_command_loads_the_libraries_before_it_needs_them():
    code = "import sys, tidegate.cli; print('confluent_kafka' in sys.modules, 'aiokafka' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "False False\n"


def test_doctor_looks_at_the_brokers_of_the_settings(tmp_path):
    (tmp_path / "settings.yaml").write_text("kafka: {brokers: '127.0.0.1:1'}")
    result = CliRunner().invoke(app, ["doctor", "--settings", str(tmp_path / "settings.yaml"), "--json"])
    (row,) = [row for row in json.loads(result.stdout.splitlines()[-1])["rows"] if row["what"] == "kafka"]
    assert result.exit_code == 4 and row["state"] == "bad" and "KAFKA_UNREACHABLE" in row["found"]


def test_the_role_that_acts_may_read_all_that_its_worker_reads() -> None:
    from tidegate._access import roles
    from tidegate._act_feed import READ

    assert set(READ) <= roles(Settings())["act"].reads
