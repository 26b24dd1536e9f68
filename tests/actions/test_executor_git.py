"""The executor of Git, on real bare repositories: one value, one commit, only if the branch has not moved."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from support.gateway import VERBS
from support.servers import free_port

from actions._executor import Mark, TargetAway
from actions._gateway import effect_of
from actions.executors.git import Git, GitSettings

KUSTOMIZATION = "resources: [deployment.yaml]\nimages:\n  - name: checkout # the shop\n    newTag: v42\n"
FLAGS = '{\n  "flags": {\n    "new-cart": {\n      "state": "ENABLED",\n      "variants": {"on": true}\n    }\n  }\n}\n'
MARK = Mark("sha256:a", 0, "do", 3)


def git(*told, cwd):
    return subprocess.run(["git", *told], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    assert shutil.which("git"), "these tests look at the repository with git itself"
    bare, work = tmp_path / "bare.git", tmp_path / "work"
    git("init", "-q", "--bare", "-b", "main", str(bare), cwd=tmp_path)
    git("clone", "-q", str(bare), str(work), cwd=tmp_path)
    (work / "apps/checkout").mkdir(parents=True)
    (work / "flags").mkdir()
    (work / "apps/checkout/kustomization.yaml").write_text(KUSTOMIZATION)
    (work / "flags/checkout.json").write_text(FLAGS)
    (work / "README").write_text("untouched\n")
    commit(work, "first")
    return bare


def commit(work, message):
    git("add", "-A", cwd=work)
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", message, cwd=work)
    git("push", "-q", "origin", "HEAD:main", cwd=work)


def effect(verb="gitops.revert", direction="do", **more):
    told = {"service": "checkout", "change": "c", "from_version": "v42", "to_version": "v41"}
    parameters = {"service": "checkout", "flag": "new-cart"} if verb.startswith("flag") else told
    return effect_of(VERBS, VERBS.change(verb, "default/service/checkout", parameters | more, "r"), direction)


def executor(repository, **more):
    return Git(GitSettings(url=str(repository), **more))


def test_a_revert_changes_one_value_in_one_commit_and_its_undo_restores_the_bytes(repository):
    hands, head = executor(repository), git("rev-parse", "main", cwd=repository)
    reading = hands.read(effect())
    assert reading.state == {"version": "v42"} and reading.token == head and reading.mark is None
    assert hands.write(effect(), MARK, reading).outcome == "written"
    assert git("diff", "--stat", head, "main", cwd=repository).startswith("apps/checkout/kustomization.yaml | 2 +-")
    assert (
        git("show", "main:apps/checkout/kustomization.yaml", cwd=repository)
        == KUSTOMIZATION.replace("v42", "v41").strip()
    )
    reading = hands.read(effect())
    assert (reading.state, reading.mark) == ({"version": "v41"}, MARK)
    undo = Mark("sha256:a", 0, "undo", 4)
    assert hands.write(effect(direction="undo"), undo, reading).outcome == "written"
    assert git("diff", head, "main", cwd=repository) == "" and hands.read(effect()).mark == undo
    assert git("fsck", "--strict", cwd=repository) == ""


def test_a_flag_is_switched_off_and_on_without_touching_the_rest(repository):
    hands = executor(repository)
    assert hands.write(effect("flag.off"), MARK, hands.read(effect("flag.off"))).outcome == "written"
    told = git("show", "main:flags/checkout.json", cwd=repository)
    assert '"state": "DISABLED"' in told and '"on": true' in told
    on = hands.read(effect("flag.off", "undo"))
    assert hands.write(effect("flag.off", "undo"), MARK, on).outcome == "written"
    assert hands.read(effect("flag.off")).state == {"flag": "ENABLED"}


def test_a_branch_that_moved_since_it_was_read_is_not_written(repository, tmp_path):
    hands = executor(repository)
    reading = hands.read(effect())
    (tmp_path / "work/README").write_text("somebody else\n")
    commit(tmp_path / "work", "theirs")
    head = git("rev-parse", "main", cwd=repository)
    assert hands.write(effect(), MARK, reading)[:2] == ("refused", "CONFLICT")
    assert git("rev-parse", "main", cwd=repository) == head
    assert hands.read(effect()).version == reading.version, "another file moved, not what the verb is about"


def test_a_push_that_comes_after_the_fence_fails(repository):
    hands = executor(repository)
    found = hands._fetch(effect())
    late = hands._commit(found, f"late\n\nTidegate-Mark: {MARK.text()}\n", b"images: late\n")
    hands.fence(effect(), 4)
    assert hands._push(found, late)[:2] == ("refused", "CONFLICT")
    assert hands.read(effect()).state == {"version": "v42"} and hands.read(effect()).mark is None


def test_it_is_the_same_over_the_network(repository):
    port = free_port()
    programs = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip()
    told = [f"{programs}/git-daemon", f"--base-path={repository.parent}", "--export-all", "--enable=receive-pack",
            "--listen=127.0.0.1", f"--port={port}", "--reuseaddr"]  # fmt: skip
    daemon = subprocess.Popen(told, stderr=subprocess.DEVNULL)
    try:
        hands = Git(GitSettings(url=f"git://127.0.0.1:{port}/bare.git"))
        reading = _when_up(lambda: hands.read(effect()), daemon)
        assert hands.write(effect(), MARK, reading).outcome == "written"
        assert hands.write(effect(), MARK, reading)[:2] == ("refused", "CONFLICT")
        assert executor(repository).read(effect()).state == {"version": "v41"}
    finally:
        daemon.kill()  # `git daemon` is a process around this one, which was once seen not to end when told
        daemon.wait()


def _when_up(ask, daemon):
    while daemon.poll() is None:
        try:
            return ask()
        except TargetAway:
            time.sleep(0.1)
    raise AssertionError("git daemon has ended")


def test_a_fence_leaves_our_mark_on_the_file(repository):
    hands = executor(repository)
    hands.write(effect(), MARK, hands.read(effect()))
    hands.fence(effect(), 4)
    assert hands.read(effect()).mark == MARK


def test_a_person_who_changes_the_file_takes_our_mark_away(repository, tmp_path):
    hands = executor(repository)
    hands.write(effect(), MARK, hands.read(effect()))
    git("pull", "-q", "origin", "main", cwd=tmp_path / "work")
    (tmp_path / "work/apps/checkout/kustomization.yaml").write_text(KUSTOMIZATION.replace("v42", "v43"))
    commit(tmp_path / "work", "theirs")
    reading = hands.read(effect())
    assert (reading.state, reading.mark) == ({"version": "v43"}, None)


@pytest.mark.parametrize(
    ("more", "code"),
    [({"branch": "other"}, "TARGET_ABSENT"), ({"url": "/nowhere"}, "TARGET_AWAY"), ({"url": ""}, "TARGET_ABSENT"),
     ({"version": {"path": "apps/{service}/none.yaml"}}, "TARGET_ABSENT"),
     ({"version": {"path": "../{service}"}}, "TARGET_ABSENT"),
     ({"version": {"path": "apps/{service}/kustomization.yaml", "pattern": "(?P<value>[a-z]+)"}}, "TARGET_ABSENT")],
)  # fmt: skip
def test_what_cannot_be_found_exactly_once_is_not_guessed(repository, more, code):
    with pytest.raises(TargetAway) as refused:
        Git(GitSettings(**({"url": str(repository)} | more))).read(effect())
    assert refused.value.code == code


def test_a_service_cannot_name_a_file_elsewhere(repository):
    with pytest.raises(TargetAway):
        executor(repository).read(effect(service="../../README"))
