"""No audit, no action: the worker's ledger is copied into an audit log, signed, anchored, and held against the anchors.

The entries of the ledger are durable before any effect; this is what makes them hold against whoever has the ledger's
file. A log that cannot be written, a ledger that has other entries than its log, a log that differs from a checkpoint
that lies elsewhere: each stops everything (the breaker of everything, kept through restarts), and as long as it lasts
nothing forward happens even if somebody resets that. The last is a breach of safety: all autonomy is lost. Anchors
that are away are waited for, for a bounded time.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from actions import AuditInvalid, Ledger, Worker
from schemas.core import NS
from tidegate._act_settings import ActAudit
from tidegate._approve_settings import read_key
from tidegate._audit_follow import Anchor, FileAnchor, Follower, GitAnchor
from tidegate._audit_log import AuditLog, verify_place
from tidegate._errors import AuditLogError, SettingsError

COPY_S = 1.0


class AuditKeeper:
    """`fault`: what is amiss now, empty where nothing is. anchors: beside those of the settings."""

    def __init__(
        self, settings: ActAudit, ledger: Ledger, worker: Worker, anchors: Sequence[Anchor] = (),
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        """Raises SettingsError for a key that cannot be used."""
        assert settings.log is not None and settings.key_file is not None
        self._settings, self._ledger, self._worker, self._now_ns = settings, ledger, worker, now_ns
        self._key = read_key(settings.key_file, b"", "the key of the audit log")
        self._anchors: list[Anchor] = [FileAnchor(path) for path in settings.anchor_files]
        self._anchors += [GitAnchor(path) for path in settings.anchor_git]
        self._anchors += anchors
        self._log: AuditLog | None = None
        self._follower: Follower | None = None
        self._verified_ns = self._handed_ns = 0
        self._held_ns = now_ns()
        self._said = structlog.get_logger()
        self.fault, self.failed = "it was not read yet", dict[str, str]()
        worker.safety.held = "AUDIT_UNREAD"

    async def look(self) -> None:
        """One round; afterwards `fault` and what the worker may do are as the audit log is."""
        try:
            follower = self._opened()
            follower.copy(self._ledger)
            if self._is_over(self._handed_ns, self._settings.every_s) or not self._handed_ns:
                self.failed = await asyncio.to_thread(follower.hand_over, now=True)
                self._handed_ns = self._now_ns()
                if not self.failed:
                    self._held_ns = self._now_ns()
            if self._is_over(self._verified_ns, self._settings.verify_s) or not self._verified_ns:
                await asyncio.to_thread(self._verify)
                self._verified_ns = self._now_ns()
        except (AuditLogError, AuditInvalid, SettingsError, OSError) as error:
            await self._broken(error)
            return
        is_late = bool(self._anchors) and self._is_over(self._held_ns, self._settings.unanchored_s)
        if self.fault:
            self._said.info("audit log followed", log=str(self._settings.log), anchors=len(self._anchors))
        self.fault = f"no anchor takes checkpoints: {sorted(self.failed)}" if is_late else ""
        self._worker.safety.held = "AUDIT_UNANCHORED" if is_late else ""

    async def run(self) -> None:
        while True:
            await asyncio.sleep(COPY_S)
            await self.look()

    def close(self) -> None:
        """A last checkpoint; what it cannot write is found at the next start."""
        log, self._log, self._follower = self._log, None, None
        if log is not None:
            try:
                log.close()
            except AuditLogError as error:
                self._said.warning("audit log not closed", what=str(error))

    def _opened(self) -> Follower:
        if self._follower is None:
            assert self._settings.log is not None
            self._log = AuditLog(self._settings.log, self._key, origin=self._settings.origin)
            self._follower = Follower(self._log, self._anchors)
        return self._follower

    def _verify(self) -> None:
        """The log as it is on the disk, against every checkpoint that lies with an anchor. Raises AuditLogError."""
        assert self._log is not None and self._settings.log is not None
        notes = tuple(note for anchor in self._anchors for note in anchor.notes())
        report, _ = verify_place(self._settings.log, self._log.key, notes)
        if report.verdict not in ("ok", "unanchored"):
            raise AuditLogError(
                f"{report.text} [{report.reason}]", where=str(self._settings.log), code="ANCHOR_DIFFERS",
                todo="Keep everything as it is; `tidegate audit verify` says more",
            )  # fmt: skip

    async def _broken(self, error: Exception) -> None:
        """Told and tripped once for each fault; the log is opened anew at the next look."""
        is_new, self.fault = str(error) != self.fault, str(error)
        reason = "AUDIT_ALTERED" if getattr(error, "code", "") == "ANCHOR_DIFFERS" else "AUDIT_FAILED"
        self._worker.safety.held = reason
        self._verified_ns = 0
        self.close()
        if is_new:
            self._said.error("audit log failed", what=str(error), reason=getattr(error, "code", type(error).__name__))
            await self._worker.trip(reason, f"the audit log failed: {error}")

    def _is_over(self, since_ns: int, seconds: float) -> bool:
        return self._now_ns() - since_ns > seconds * NS
