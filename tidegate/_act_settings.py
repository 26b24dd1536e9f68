"""The section `act:` of the action worker: its ledger, its gateway, its key for permits, who is told, what is measured.

How far each verb may go stands in `actions.modes`, who may approve in `approvals`, who may stop it in `control.keys`.
"""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from tidegate._section import Section, not_both, secret_of


class Measure(Section):
    """One indicator as PromQL, read in windows. `{service}` stands for the plain name of the target's service."""

    name: str = Field(min_length=1)
    query: str = Field(min_length=1)
    control: str = ""
    """The same of untouched peers; without it the own history is the control."""
    unit: str = "1"
    worse: Literal["up", "down"] = "up"
    goal: bool = True
    """False: it only must not become worse."""


class ActAudit(Section):
    """The audit log that the worker writes beside its ledger. Where there is one: no audit, no action."""

    log: Path | None = None
    """Its directory; without it the sealed entries stay in the ledger, where whoever has the file can cut them off."""
    key_file: Path | None = None
    """PEM, Ed25519: signs the checkpoints."""
    origin: str = "tidegate/audit"
    """Name of the log, in every checkpoint."""
    anchor_files: tuple[Path, ...] = ()
    """Checkpoints are added to these, which should lie where the worker's user can only append."""
    anchor_git: tuple[Path, ...] = ()
    """And committed in these repositories."""
    anchor_kafka: bool = False
    """And put on the topic of the audit log."""
    every_s: float = Field(default=30, gt=0)
    """How often a checkpoint is signed and handed over."""
    verify_s: float = Field(default=3600, gt=0)
    """How often the whole log is held against what lies with the anchors; at each start too."""
    unanchored_s: float = Field(default=900, gt=0)
    """So long the anchors may be away before nothing acts any more."""

    @model_validator(mode="after")
    def _has_a_key(self) -> Self:
        if self.log is not None and self.key_file is None:
            raise ValueError("an audit log needs `key_file`: `tidegate control keygen FILE` makes one")
        return self


class Act(Section):
    """One worker a deployment. A ledger on PostgreSQL lets another machine take over."""

    ledger: str = "tidegate-actions.sqlite"
    """A file on a local disk, or `postgresql://...`."""
    gateway: str = "unix:tidegate-act-gateway.sock"
    """Where `tidegate act gateway` listens: `unix:PATH` or `http://127.0.0.1:PORT`."""
    gateway_token: SecretStr | None = Field(default=None, min_length=16)
    gateway_token_file: Path | None = None
    permit_key: Path = Path("tidegate-permit.pem")
    """Private key (Ed25519, PEM) that signs permits; the gateway knows the public one."""
    permit_kid: str = "decide-1"
    kill_file: Path = Path("tidegate-kill.jsonl")
    """Signed orders, one a line; `tidegate revoke` appends to it. It has to be there, empty means: go on."""
    supervisor_file: Path | None = None
    """Touched by `tidegate act supervise`; older than 10 s, nothing more than advice. Without it nobody is awaited."""
    audit: ActAudit = ActAudit()
    people_url: tuple[str, ...] = ()
    """Posted to when people must hear of something, all of them; the standard error is told in any case."""
    escalation: tuple[tuple[str, ...], ...] = ()
    """Posted to as well when nobody has acknowledged a page in time: the first level, then the second, and so on."""
    acknowledge_s: int = Field(default=0, ge=0, le=86400)
    """So long a page waits for a person before it goes one level further up; at the top it is said again as often.
    0 waits for nobody, which is right where `people_url` is a pager that does so itself.
    """
    listen_port: int = Field(default=8791, ge=0, le=65535)
    """Approvals, `/healthz` and `/metrics`, on this machine only; 0 chooses."""
    prometheus: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """Where outcomes are measured; without it every outcome is inconclusive and goes to a person."""
    window_s: int = Field(default=15, ge=5, le=300)
    measures: tuple[Measure, ...] = ()
    services: int = Field(default=0, ge=0)
    """How many services there are, for the share that may be touched or ill at once; 0 is not known."""

    @model_validator(mode="after")
    def _waits_for_somebody(self) -> Self:
        if self.escalation and not self.acknowledge_s:
            raise ValueError("`escalation` without `acknowledge_s`: nobody is waited for, so nothing goes further up")
        return self

    @model_validator(mode="after")
    def _has_one_secret(self) -> Self:
        not_both("gateway_token", self.gateway_token, self.gateway_token_file)
        return self

    def token(self) -> str:
        return secret_of(self.gateway_token, self.gateway_token_file, "the gateway's token")
