"""Commands of people: approve, reject, waiting; people keygen, enroll, revoke, roles, list."""

import json
import os
import time
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from schemas import why
from tidegate._commands import Config, Json, say
from tidegate._errors import ApproveError, SettingsError
from tidegate._reading import text_of
from tidegate._settings import Settings

NOT_TAKEN = 4
To = Annotated[str, typer.Option("--to", help="Address of the approvals interface; wins over approvals.url.")]
Key = Annotated[Path | None, typer.Option("--key", help="Your private key; wins over approvals.me.key_file.")]
Role = Annotated[str, typer.Option("--role", help="In which role; wins over approvals.me.role.")]
Token = Annotated[Path | None, typer.Option("--token-file", help="An ID token, where the interface wants one.")]
Secret = Annotated[Path | None, typer.Option("--passphrase-file", help="Instead of being asked for it.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask again after showing what is signed.")]
Action = Annotated[str, typer.Argument(metavar="ID", help="Of the action, from `tidegate waiting`.")]
RootName = Annotated[str, typer.Option("--root", help="Name of the root key, as in approvals.roots.")]
RootKey = Annotated[Path, typer.Option("--root-key", help="Its private key.")]


def register(app: typer.Typer) -> None:
    app.command("approve")(approve)
    app.command("reject")(reject)
    app.command("waiting")(waiting)
    app.command("acknowledge")(acknowledge)
    people = typer.Typer(no_args_is_help=True, help="Who may approve: the signed list of people.")
    people.command("keygen")(keygen)
    people.command("enroll")(enroll)
    people.command("revoke")(revoke)
    people.command("roles")(roles)
    people.command("list")(list_people)
    app.add_typer(people, name="people")


def approve(
    id: Action, settings: Config = None, to: To = "", key: Key = None, role: Role = "", token: Token = None,
    passphrase: Secret = None, yes: Yes = False, json_: Json = False,
    other: Annotated[
        list[str] | None, typer.Option(
            "--set", metavar="[STEP.]NAME=VALUE",
            help="Propose it with this parameter, of this step (from 1) where there are several; repeat it.",
        )
    ] = None,
) -> None:  # fmt: skip
    """See exactly what would be done, and sign it with your key. Exit code 4 if it is not taken.

    With --set it is rejected as it is and proposed with other parameters, which others then approve, not you.
    """
    _decide("approve", id, settings, to, key, role, token, passphrase, yes, json_, _parameters(other or []))


def reject(
    id: Action, settings: Config = None, to: To = "", key: Key = None, role: Role = "", token: Token = None,
    passphrase: Secret = None, yes: Yes = False, json_: Json = False,
) -> None:  # fmt: skip
    """See exactly what would be done, and sign that it is not: one valid rejection is a veto."""
    _decide("reject", id, settings, to, key, role, token, passphrase, yes, json_)


def waiting(settings: Config = None, to: To = "", token: Token = None, json_: Json = False) -> None:
    """What waits for people: changes for their approval, pages for somebody who takes them."""
    from tidegate._approve_client import Office

    office = Office(to or Settings.read(settings).approvals.url, _text(token))
    found = office.call("GET", "/v1/approvals")[1] | office.call("GET", "/v1/pages")[1]
    if json_:
        say(found)
        return
    for row in found["approvals"]:
        missing = ", ".join(row["standing"]["missing"])
        typer.echo(f"{row['id']}  {row['target']}  {row['summary']}  missing: {missing}")
    for row in found["pages"]:
        typer.echo(f"{row['id']}  page since {row['since']}, level {row['level']}  {row['text']}")
    if not found["approvals"] and not found["pages"]:
        typer.echo("nothing waits")


def acknowledge(
    id: Annotated[str, typer.Argument(metavar="ID", help="Of the page, from `tidegate waiting`.")],
    settings: Config = None, to: To = "", token: Token = None, json_: Json = False,
    person: Annotated[str, typer.Option("--person", help="Your name, where no identity provider says it.")] = "",
) -> None:  # fmt: skip
    """Say that you have it: it goes no further up. It stands in the audit log."""
    from tidegate._approve_client import Office

    read = Settings.read(settings).approvals
    told = json.dumps({"person": person or os.environ.get("USER", "somebody")}).encode()
    path = f"/v1/pages/{quote(id, safe='')}/acknowledgements"
    _, found = Office(to or read.url, _text(token)).call("POST", path, told)
    if json_:
        say(found)
    else:
        typer.echo(f"{found['id']} is taken by {found['person']}")


def _decide(
    decision: str, id: str, settings: Path | None, to: str, key: Path | None, role: str, token: Path | None,
    passphrase: Path | None, yes: bool, json_: bool, other: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    from tidegate._approve_client import Office

    read = Settings.read(settings).approvals
    me = read.me.model_copy(update={"role": role or read.me.role, "key_file": key or read.me.key_file})
    if not (me.person and me.kid and me.role and me.key_file):
        raise SettingsError(
            "it is not said who you are",
            where="approvals.me",
            todo="Set person, kid, role and key_file, or give options",
        )
    office = Office(to or read.url, _text(token))
    document = office.shown(id)
    _show(document, "reject" if other else decision, me.person, me.role)
    if other:
        typer.echo(f"  and propose it with {json.dumps(other)}, to be approved by others than you", err=True)
    if json_ and not yes:
        raise SettingsError("nobody is asked with --json", todo="Add --yes, having seen what is signed")
    if not yes and not typer.confirm(f"Sign `{decision}` as {me.person}?", err=True):
        raise typer.Exit(NOT_TAKEN)
    unlocked = _unlocked(me.key_file, passphrase)
    if other:
        answer = office.override(document, me, unlocked, other, read.deployment)
        id, decision = answer["id"] or id, "override"
    else:
        answer = office.decide(document, me, unlocked, decision, read.deployment)
    if json_:
        say({"id": id, "decision": decision, **answer})
    elif other and answer["id"]:
        typer.echo(f"proposed as {id}")
    else:
        now = answer["standing"]
        typer.echo(f"{answer['reason']} {answer['text']}".rstrip())
        typer.echo(
            f"{now['state']}: {', '.join(now['people']) or 'nobody'}; missing: {', '.join(now['missing']) or '-'}"
        )
    if not answer["accepted"]:
        raise typer.Exit(NOT_TAKEN)


def _parameters(told: list[str]) -> dict[str, Any]:
    """Each value is JSON where it can be read as such, else text."""
    found = dict[str, Any]()
    for one in told:
        name, is_said, text = one.partition("=")
        if not is_said or not name:
            raise SettingsError(f"'{one[:80]}' is no NAME=VALUE", where="--set")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def _show(document: dict[str, Any], decision: str, person: str, role: str) -> None:
    """What is signed, on standard error, so that it is also seen with --json."""
    ask, shown = document["ask"], document["shown"]
    lines = [f"You {decision} as {person} ({role}), for {ask['aud']}: {_plain(shown.get('summary', ''))}"]
    for number, change in enumerate(shown["changes"], 1):
        lines += [f"  step {number}"] if len(shown["changes"]) > 1 else []
        lines.append(f"  do    {change['verb']} on {change['target']} {json.dumps(change['parameters'])}")
        undo = (
            f"{change['undo_verb']} {json.dumps(change['undo_parameters'])}"
            if change["undo_verb"]
            else "CANNOT BE UNDONE"
        )
        lines.append(f"  undo  {undo}")
    lines += [f"  {line}" for line in _plain(shown["diff"]).splitlines()]
    lines += [
        f"  target  {ask['target_uid']} at version {ask['target_version']}",
        "  digests "
        + " ".join(f"{name} {ask[f'{name}_digest'][7:19]}" for name in ("action", "plan", "dryrun", "policy")),
        f"  needs   {ask['quorum']} people of grade {ask['grade']} within {ask['lifetime_s']} s",
        f"  barred  {', '.join(ask['barred'])}",
    ]
    typer.echo("\n".join(lines), err=True)


def _plain(text: str) -> str:
    """Without control characters: what is shown may come from elsewhere, and must not move the cursor."""
    return "".join(one if one.isprintable() or one in "\n" else "\ufffd" for one in text)


def _unlocked(path: Path, passphrase: Path | None) -> Any:
    from tidegate._approve_settings import read_key

    try:
        return read_key(path, _text(passphrase).encode(), "your key")
    except SettingsError as error:
        if error.code != "KEY_LOCKED" or passphrase is not None:
            raise
    return read_key(path, typer.prompt("Passphrase of your key", hide_input=True, err=True).encode(), "your key")


def _text(path: Path | None) -> str:
    return text_of(path).strip() if path else ""


def keygen(
    out: Annotated[Path, typer.Argument(help="File for the private key; it must not exist.")],
    passphrase: Secret = None,
    no_passphrase: Annotated[
        bool, typer.Option("--no-passphrase", help="For a bridge that has to start alone.")
    ] = False,
    json_: Json = False,
) -> None:
    """A key to approve with: the private one, locked with a passphrase, and the public one to be enrolled."""
    from cryptography.hazmat.primitives import serialization as ser
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if no_passphrase and passphrase is not None:
        todo = "Leave out --no-passphrase or --passphrase-file"
        raise SettingsError("a passphrase is named, and none is wanted", todo=todo)
    key, lock = Ed25519PrivateKey.generate(), ser.NoEncryption() if no_passphrase else _lock(passphrase)
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, lock))
    except OSError as error:
        raise SettingsError(
            f"it cannot be written: {why(error)}", where=str(out), todo="Choose another file"
        ) from error
    public = b64encode(key.public_key().public_bytes_raw()).decode()
    if json_:
        say({"public": public, "private": str(out)})
    else:
        typer.echo(
            f"public key: {public}\nWhoever has a root key enrolls it: tidegate people enroll --public {public} ..."
        )


def _lock(passphrase: Path | None) -> Any:
    from cryptography.hazmat.primitives import serialization as ser

    text = _text(passphrase) or typer.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
    if len(text) < 8:
        raise SettingsError("a passphrase has eight characters or more", todo="Choose a longer one")
    return ser.BestAvailableEncryption(text.encode())


def enroll(
    person: Annotated[str, typer.Option(help="issuer#subject; of a bridge, its name.")],
    kid: Annotated[str, typer.Option(help="A new id for the key.")],
    public: Annotated[str, typer.Option(help="The public key in base64; of a passkey its COSE key.")],
    root: RootName,
    root_key: RootKey,
    grade: Annotated[str, typer.Option(help="A own key, B passkey, C bridge.")] = "A",
    role: Annotated[list[str] | None, typer.Option(help="All roles the person has from now on; repeat it.")] = None,
    speaks_for: Annotated[list[str] | None, typer.Option(help="Of a bridge: whose clicks it may attest.")] = None,
    rp_id: Annotated[str, typer.Option(help="Of a passkey: the relying party's domain.")] = "",
    origin: Annotated[list[str] | None, typer.Option(help="Of a passkey: a page that may ask.")] = None,
    settings: Config = None,
    passphrase: Secret = None,
    json_: Json = False,
) -> None:
    """Add a person's key, and roles if any are given, to the list."""
    from actions import PersonRecord

    try:
        key = b64decode(public, validate=True)
    except ValueError as error:
        raise ApproveError(f"the public key is no base64: {error}", where=kid) from error
    if grade not in ("A", "B", "C"):
        raise ApproveError(f"there is no grade '{grade}'", todo="A own key, B passkey, C bridge")
    records = [
        PersonRecord("enrol", int(time.time()), person, kid, key, grade, speaks_for=tuple(speaks_for or ()),  # type: ignore[arg-type]
                     rp_id=rp_id, origins=tuple(origin or ()))
    ]  # fmt: skip
    if role:
        records.append(PersonRecord("roles", int(time.time()), person, roles=tuple(role)))
    _append(records, settings, root, root_key, passphrase, json_)


def revoke(
    kid: Annotated[str, typer.Argument(help="Id of the key.")],
    root: RootName, root_key: RootKey, settings: Config = None, passphrase: Secret = None, json_: Json = False,
) -> None:  # fmt: skip
    """From now on nothing signed with the key counts, whenever it was signed, unless it is done already."""
    from actions import PersonRecord

    _append([PersonRecord("revoke", int(time.time()), kid=kid)], settings, root, root_key, passphrase, json_)


def roles(
    person: Annotated[str, typer.Argument(help="issuer#subject.")],
    root: RootName,
    root_key: RootKey,
    role: Annotated[list[str] | None, typer.Option(help="All roles from now on; none takes all away.")] = None,
    settings: Config = None,
    passphrase: Secret = None,
    json_: Json = False,
) -> None:
    """Which roles a person has from now on."""
    from actions import PersonRecord

    record = PersonRecord("roles", int(time.time()), person, roles=tuple(role or ()))
    _append([record], settings, root, root_key, passphrase, json_)


def list_people(settings: Config = None, json_: Json = False) -> None:
    """The list as it stands, every signature checked."""
    people = _people(settings)
    ring = people.ring()
    rows: list[dict[str, Any]] = [
        {"kid": key.kid, "person": key.person, "grade": key.grade, "enrolled_s": key.enrolled_s,
         "revoked_s": key.revoked_s, "roles": sorted(ring.roles.get(key.person, ())),
         "speaks_for": sorted(key.speaks_for)}
        for key in ring.keys.values()
    ]  # fmt: skip
    if json_:
        say({"version": ring.version, "head": people.head.digest, "keys": rows})
        return
    for row in rows:
        end = f"revoked {row['revoked_s']}" if row["revoked_s"] is not None else ", ".join(row["roles"])
        typer.echo(f"{row['kid']:<24}{row['grade']}  {row['person']:<40}{end}")
    typer.echo(f"{ring.version} records, head {people.head.digest}")


def _people(settings: Path | None) -> Any:
    from tidegate._people_file import PeopleFile

    read = Settings.read(settings).approvals
    if read.people is None:
        raise SettingsError("there is no list of people", where="approvals.people", todo="Name a file in the settings")
    return PeopleFile(read.people, read.root_keys(), read.deployment)


def _append(
    records: list[Any], settings: Path | None, root: str, root_key: Path, passphrase: Path | None, json_: bool
) -> None:
    people, key = _people(settings), _unlocked(root_key, passphrase)
    head = people.head
    for record in records:
        head = people.append(record, root, key)
    if json_:
        say({"version": head.number, "head": head.digest})
    else:
        typer.echo(f"{head.number} records, head {head.digest}")
