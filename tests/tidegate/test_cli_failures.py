"""What people type wrong, name wrong or leave empty: one sentence with a stable code, and nothing that looks well."""

import json
import sys
from typing import get_type_hints

import pytest

from tidegate.cli import app, main

NOISE = b"\x92\xfe\x00\xa6{\x1b[2J\n\xff"


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noise").write_bytes(NOISE)
    (tmp_path / "cut.yaml").write_text("a: [1\n")
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "self.yaml").write_text("a: &a [*a]\n")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.fixture
def typed(place, monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tidegate", *words])
        with pytest.raises(SystemExit) as ending:
            main()
        told = capsys.readouterr()
        return ending.value.code, told.out, told.err

    return run


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("replay x --settings noise", "noise: cannot be read: it is no text in UTF-8. Pass a YAML file, or none."),
        ("replay x --settings cut.yaml", "cut.yaml: cannot be read: line 2 is no YAML: expected ',' or ']'"),
        ("replay x --settings list.yaml", "list.yaml: no settings: a mapping is due. See docs/settings.md."),
        ("replay x --settings gone", "gone: cannot be read: No such file or directory."),
        ("boundaries --gateway noise", "noise: cannot be read: it is no text in UTF-8. See docs/gateway.md."),
        ("policy check noise", "noise: cannot be read: it is no text in UTF-8."),
        ("policy check empty", "empty: no policies are here."),
        ("import prometheus noise --out r", "noise: no samples of Prometheus are here."),
        ("import csv empty --out r", "empty: cannot be read: Is a directory. Give a file that can be read."),
        ("import csv noise --out r -o time", "-o: 'time' is no option of an importer. Write -o NAME=VALUE."),
        ("schema check --against empty", "empty: no committed version is here."),
        ("schema render --out noise", "noise/generated"),
        ("simulate --bug nosuch", "--bug: there is no bug 'nosuch'. Bugs: any_signature,"),
        ("autonomy --ledger gone", "gone: there is no ledger. Give the file of the worker,"),
        ("audit verify --log gone", "gone: there is no audit log. Give its directory with --log."),
        ("doctor --sources gone", "'gone' is not a URL. Give --sources http://host:4318."),
        ("doctor --sources http://127.0.0.1:1", "does not tell of its sources: Connection refused. Is `tidegate up`"),
        ("waiting --to http://127.0.0.1:1", "Connection refused. Does `tidegate act` run there? [NO_ANSWER]"),
        ("up --dir noise/log", "noise/log: Not a directory. Give a path that can be used. [PLACE_UNUSABLE]"),
        ("doctor --sources http://x:99999", "'http://x:99999' is not a URL. Give --sources"),
        ("doctor --sources http://127.0.0.1:1 --token a\u00e9", "the token holds what no header may hold."),
        ("waiting --to http://[x", "'http://[x' is not a URL. http://host:8791."),
        ("look --prometheus http://[x", "'http://[x' is no address. Give --prometheus"),
        ("look --prometheus http://127.0.0.1:1", "http://127.0.0.1:1: cannot be reached: Connection refused. Check"),
        ("look --prometheus http://127.0.0.1:1 --token-file noise", "noise: cannot be read: it is no text in UTF-8."),
        ("look --prometheus http://127.0.0.1:1 --out gone/x", "gone/x: the page cannot be written there. Give --out"),
        ("up --dir d --webhook http://[x", "'http://[x' is not the URL of a webhook. It begins with http"),
        ("generations compare --generations a b --brokers 127.0.0.1:1", "no broker answers: Connection refused."),
        ("generations cutover --generations a b --to a --issuer i --key gone", "gone: the key cannot be used: No such"),
        ("audit anchors --out a --brokers 127.0.0.1:1", "no broker answers: Connection refused."),
        ("policy test self.yaml", "self.yaml: not YAML: it holds itself, or is nested too deep."),
        ("policy explain --policies empty", "empty: no policies are here. Give a directory with *.yaml"),
        ("policy simulate --policies empty", "empty: no policies are here. Give a directory with *.yaml"),
        ("runbook test empty", "empty: no runbooks are here. Give a directory with *.yaml"),
        ("silence add --match service=x --for 2h --brokers 127.0.0.1:1", "no broker answers: Connection refused."),
        ("simulate --bug any_signatur", "--bug: there is no bug 'any_signatur'. Nearest: any_signature,"),
        ("topics acl --principal User:{rôle}", "--principal: '{rôle}' stands for nothing. Known: {role}, {prefix}."),
        ("people keygen k --no-passphrase --passphrase-file void", "a passphrase is named, and none is wanted."),
        ("silence list", "tidegate-log: no pipeline would read it there."),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_one_sentence_with_where_and_a_code(typed, words, sentence):
    code, out, err = typed(*words.split())
    assert (code, out) == (3, "")
    assert sentence in err
    assert err.count("\n") == 1 and err.endswith("]\n")


def test_a_ledger_that_is_not_there_is_not_made_by_asking_for_it(typed, place):
    typed("autonomy", "--ledger", "gone")
    assert not (place / "gone").exists()


@pytest.mark.parametrize("command", ["up", "gateway --brokers 127.0.0.1:1"])
def test_a_port_that_does_not_exist_is_refused_and_no_other_is_taken(typed, command):
    code, _, err = typed(*command.split(), "--port", "99999")
    assert code == 2 and "less than or equal to 65535" in err


def test_a_command_typed_wrong_is_an_object_too_where_json_is_asked_for(typed):
    code, out, err = typed("detect", "drift", "--nosuch", "--json")
    assert code == 2 and "No such option" in err
    assert json.loads(out)["error"] == {
        "code": "TYPED_WRONG", "what": "No such option: --nosuch", "where": "", "todo": "See --help"
    }  # fmt: skip


def test_a_place_for_the_run_that_cannot_be_used_is_told_before_the_replay_and_not_after_it(typed, place, monkeypatch):
    (place / "one.csv").write_text("time,value\n1700000000,2\n")
    typed("import", "csv", "one.csv", "--out", "r")
    (place / "own").mkdir()
    (place / "own" / "letter").touch()
    monkeypatch.setattr("tidegate._replay.replay", lambda *a, **k: pytest.fail("it was replayed first"))
    assert "noise: File exists." in typed("replay", "r", "--run", "noise")[2]
    assert "own: is not a run directory and not empty." in typed("replay", "r", "--run", "own")[2]
    assert "own: is not a run directory and not empty." in typed("demo", "--run", "own")[2]


def test_a_seed_below_zero_is_refused_as_typed_wrong(typed):
    assert typed("demo", "--seed=-1")[0] == 2


def test_what_a_sentence_quotes_cannot_move_the_cursor(typed, place):
    (place / "noise.csv").write_bytes(NOISE)
    _, _, err = typed("import", "csv", "noise.csv", "--out", "r")
    assert "\x1b" not in err and "there are:" in err


def test_a_row_of_a_csv_in_another_encoding_is_a_dead_letter_and_the_others_are_taken(typed, place):
    (place / "mixed.csv").write_bytes(b"time,value,service\n1700000000,2,caf\xe9\n1700000001,3,cart\n")
    code, out, _ = typed("import", "csv", "mixed.csv", "--out", "r", "-o", "service=service", "--json")
    found = json.loads(out)
    assert (code, found["samples"], found["dead_lettered"]) == (0, 1, 1)
    _, out, _ = typed("dead-letters", "list", "r", "--json")
    assert "is no text in UTF-8" in json.loads(out)["rows"][0]["example"]


def test_a_line_of_a_prometheus_dump_in_another_encoding_is_a_dead_letter(typed, place):
    (place / "dump").write_bytes(b'up{x="\xe9"} 1 1700000000000\nup{x="a"} 1 1700000000000\n')
    _, out, _ = typed("import", "prometheus", "dump", "--out", "r", "--json")
    found = json.loads(out)
    assert (found["samples"], found["dead_lettered"]) == (1, 1)


def test_runbooks_are_checked_with_their_cases(typed):
    _, out, _ = typed("runbook", "check", "--json")
    found = json.loads(out)
    assert found["errors"] == [] and found["cases"]["failed"] == 0 < found["cases"]["passed"]


def commands(group, *above):
    for one in group.registered_commands:
        yield " ".join((*above, one.name or "")), one.callback
    for inner in group.registered_groups:
        yield from commands(inner.typer_instance, *above, inner.name or "")


def options():
    for name, callback in commands(app):
        for option, hint in get_type_hints(callback, include_extras=True).items():
            for told in getattr(hint, "__metadata__", ()):
                yield f"{name} {option}", hint.__origin__, told


def test_every_number_with_a_fraction_that_people_type_has_bounds_so_none_is_without_end():
    free = {name for name, kind, told in options() if kind is float and None in (told.min, told.max)}
    assert free == set()


def test_every_option_says_what_it_is_for():
    assert {name for name, _, told in options() if not told.help} == set()
