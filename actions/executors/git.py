"""Declared state in Git: the version of a service and the state of a feature flag, changed by one commit each.

A commit is pushed only if the branch still is where it was read (compare and swap at the remote), so a late or doubled
push changes nothing. It touches one value in one file and carries our mark as a trailer; the mark counts while that
commit is the last that touched the file. A fence is an empty commit: it moves the branch, and whatever was on its way
fails. Clones are made in memory, so nothing is left behind.
Source: git's send-pack protocol (old and new id of each ref); the flag file is flagd's flag definition.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from actions._executor import Capabilities, Effect, ExecutorSettings, Mark, Reading, TargetAway, Written, read_mark
from schemas import Json, sha256

TRAILER = "Tidegate-Mark: "
_CAN = Capabilities(is_conditional=True, keeps_mark=True, fences=True, has_server_dry_run=False)
_MAY: tuple[Mapping[str, Json], ...] = ({"git": ["fetch", "push to one branch"]},)


class Place(BaseModel):
    """Where a value is declared. `{service}` in `path` is the name of the service."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: str = Field(min_length=1)
    pattern: str = r'(?m)^[ \t-]*newTag:[ \t]*"?(?P<value>[A-Za-z0-9._-]+)"?[ \t]*$'
    """Finds the value in the file; exactly once, in the group `value`. Not used for flags."""


class GitSettings(ExecutorSettings):
    url: str = ""
    """Of the repository: a path, or anything that Git can push to."""
    branch: str = Field(default="main", pattern="^[A-Za-z0-9][A-Za-z0-9._/-]*$")
    version: Place = Place(path="apps/{service}/kustomization.yaml")
    flags: Place = Place(path="flags/{service}.json")
    author: str = "Tidegate <tidegate@localhost>"


class _Checkout(NamedTuple):
    """What was read: the repository in memory, the head of the branch, and the file there."""

    repository: Any
    head: bytes
    path: str
    blob: bytes
    text: str
    mark: Mark | None


class Git:
    kind = "git"
    settings: type[ExecutorSettings] = GitSettings
    verbs = ("gitops.revert", "flag.off", "flag.on")
    capabilities: ClassVar[Mapping[str, Capabilities]] = dict.fromkeys(verbs, _CAN)
    permissions: ClassVar[Mapping[str, tuple[Mapping[str, Json], ...]]] = dict.fromkeys(verbs, _MAY)
    set_up = ""

    def __init__(self, settings: GitSettings) -> None:
        self._settings = settings

    def read(self, effect: Effect) -> Reading:
        found = self._fetch(effect)
        value, _ = _field(effect, found.text, self._place(effect))
        uid = f"{self._settings.url} {self._settings.branch} {found.path}"
        return Reading(uid, sha256(found.blob), found.head.decode(), {_name(effect): value}, found.mark)

    def check(self, effect: Effect, reading: Reading) -> str | None:
        return None

    def write(self, effect: Effect, mark: Mark, reading: Reading) -> Written:
        try:
            found = self._fetch(effect)
            if found.head.decode() != reading.token:
                return Written("refused", "CONFLICT", f"{self._settings.branch} has moved")
            _, put = _field(effect, found.text, self._place(effect))
            text = put(str(effect.sets[_name(effect)]))
        except TargetAway as error:
            return Written("refused", error.code, str(error))
        message = f"{effect.verb} {effect.target}\n\n{TRAILER}{mark.text()}\n"
        commit = self._commit(found, message, text.encode())
        return self._push(found, commit)

    def fence(self, effect: Effect, epoch: int) -> None:
        found = self._fetch(effect)
        commit = self._commit(found, f"Fence {effect.target}\n\nTidegate-Fence: {epoch}\n", None)
        written = self._push(found, commit)
        if written.outcome != "written":
            raise TargetAway(f"the branch could not be moved: {written.text}")

    def _place(self, effect: Effect) -> Place:
        return self._settings.version if effect.verb == "gitops.revert" else self._settings.flags

    def _fetch(self, effect: Effect) -> _Checkout:
        from dulwich.client import get_transport_and_path
        from dulwich.object_store import tree_lookup_path
        from dulwich.repo import MemoryRepo

        branch, path = self._branch(), self._place(effect).path.format(service=effect.parameters["service"])
        if not self._settings.url or ".." in PurePosixPath(path).parts:
            raise TargetAway(f"no repository and path are set for {effect.target}", is_absent=True)
        try:
            client, remote = get_transport_and_path(self._settings.url)
            repository = MemoryRepo()
            refs: Mapping[Any, Any] = client.fetch(remote.encode(), repository).refs
            head = refs.get(branch)
            if head is None:
                raise TargetAway(f"{self._settings.url} has no {self._settings.branch}", is_absent=True)
            commit: Any = repository[head]
            _, blob_id = tree_lookup_path(repository.__getitem__, commit.tree, path.encode())
            blob: Any = repository[blob_id]
            mark = self._mark(repository, head, path)
            return _Checkout(repository, head, path, blob.data, blob.data.decode(), mark)
        except KeyError as error:
            raise TargetAway(f"{path} is not in {self._settings.branch}", is_absent=True) from error
        except TargetAway:
            raise
        except Exception as error:  # dulwich raises errors of the transport, of SSH, HTTP and of its own
            raise TargetAway(f"{self._settings.url} cannot be read: {type(error).__name__}: {error}") from error

    def _mark(self, repository: Any, head: bytes, path: str) -> Mark | None:
        """Of the last commit that touched the file."""
        walker = repository.get_walker(include=[head], paths=[path.encode()], max_entries=1)
        for entry in walker:
            lines = entry.commit.message.decode(errors="replace").splitlines()
            return read_mark(next((line.removeprefix(TRAILER) for line in lines if line.startswith(TRAILER)), None))
        return None

    def _commit(self, found: _Checkout, message: str, data: bytes | None) -> bytes:
        from dulwich.objects import Blob, Commit

        before: Any = found.repository[found.head]
        commit, author = Commit(), self._settings.author.encode()
        commit.tree = before.tree
        if data is not None:
            blob = Blob.from_string(data)
            found.repository.object_store.add_object(blob)
            commit.tree = _put(found.repository, before.tree, found.path.split("/"), blob.id)
        parent: Any = found.head
        commit.parents, commit.author, commit.committer = [parent], author, author
        # the time of the commit before, so that the same write is the same commit
        commit.author_time = commit.commit_time = before.commit_time
        commit.author_timezone = commit.commit_timezone = 0
        commit.encoding, commit.message = b"UTF-8", message.encode()
        found.repository.object_store.add_object(commit)
        return bytes(commit.id)

    def _push(self, found: _Checkout, commit: bytes) -> Written:
        from dulwich.client import get_transport_and_path

        branch, moved = self._branch(), False

        def update(refs: Any) -> Any:
            nonlocal moved
            moved = refs.get(branch) != found.head
            return {} if moved else {branch: commit}

        try:
            client, remote = get_transport_and_path(self._settings.url)
            result = client.send_pack(
                remote.encode(), update,
                generate_pack_data=found.repository.object_store.generate_pack_data,
            )  # fmt: skip
        except Exception as error:  # as above; whether the remote took it is not known
            return Written("lost", type(error).__name__, str(error)[:200])
        status = (result.ref_status or {}).get(branch)
        if moved or status is not None:
            return Written("refused", "CONFLICT", str(status or f"{self._settings.branch} has moved"))
        return Written("written")

    def _branch(self) -> bytes:
        return f"refs/heads/{self._settings.branch}".encode()


def _name(effect: Effect) -> str:
    return next(iter(effect.sets))


def _field(effect: Effect, text: str, place: Place) -> tuple[str, Callable[[str], str]]:
    """The value that is declared, and the file with another one. Raises TargetAway if it is not there exactly once."""
    if effect.verb == "gitops.revert":
        found = list(re.finditer(place.pattern, text))
        if len(found) != 1:
            raise TargetAway(f"the version stands {len(found)} times in the file, not once", is_absent=True)
        begin, end = found[0].span("value")
        return text[begin:end], lambda value: text[:begin] + value + text[end:]
    try:
        document = json.loads(text)
        flag = document["flags"][effect.parameters["flag"]]
        state = str(flag["state"])
    except (ValueError, KeyError, TypeError) as error:
        raise TargetAway(f"the flag is not declared: {error}", is_absent=True) from error

    def put(value: str) -> str:
        flag["state"] = value
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    return state, put


def _put(repository: Any, tree_id: bytes, parts: list[str], blob_id: bytes) -> bytes:
    """The tree with the file replaced; every other entry stays as it is."""
    tree: Any = repository[tree_id].copy()
    name = parts[0].encode()
    mode, child = tree[name]
    tree[name] = (mode, blob_id if len(parts) == 1 else _put(repository, child, parts[1:], blob_id))
    repository.object_store.add_object(tree)
    return bytes(tree.id)


PLUGIN = Git
