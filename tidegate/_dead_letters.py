"""Dead letters: what there is, and trying it again without any stage that could act."""

from collections import Counter
from typing import Any

import schemas as sc
from schemas.core import Emit
from streams import Engine, MemoryLog, Recording, dead_letters, report
from tidegate._pipeline import build, ledger_of
from tidegate._settings import Settings


def summary(recording: Recording) -> list[dict[str, Any]]:
    """Letters and what they stand for, by reason and source, most first."""
    letters: Counter[tuple[str, str, str]] = Counter()
    stand_for: Counter[tuple[str, str, str]] = Counter()
    example: dict[tuple[str, str, str], str] = {}
    for message in _letters(recording):
        letter = dead_letters.letter_of(message)
        key = letter.reason, letter.source, letter.stage
        letters[key] += 1
        stand_for[key] += letter.count
        example.setdefault(key, letter.what)
    return [
        {"reason": key[0], "source": key[1], "stage": key[2], "letters": n,
         "stands_for": stand_for[key], "example": example[key]}
        for key, n in letters.most_common()
    ]  # fmt: skip


def again(recording: Recording, settings: Settings) -> dict[str, Any]:
    """Send the messages among the letters through normalise to detect; nothing behind detect exists in this run.

    Frames of late or rejected samples are counted as `kept`: their time has passed, they stay where they are.
    """
    pipeline = build(settings, last="detect")
    log = MemoryLog(settings.streams.partitions)
    engine = Engine(log, pipeline.stages, partitions=settings.streams.partitions)
    sent = kept = 0
    for message in _letters(recording):
        topic = message.header(dead_letters.TOPIC)
        if not topic:
            kept += 1
            continue
        prefix = dead_letters.ORIGINAL
        headers = tuple(
            (name.removeprefix(prefix), value) for name, value in message.headers if name.startswith(prefix)
        )
        log.append([Emit(topic, message.key, message.value, headers, message.event_ns)], writer="outside")
        sent += 1
    engine.run()
    counts = report(ledger_of(engine.runners))
    return {"letters": sent, "kept": kept, "decoded": counts["messages"]["decoded"],
            "dead_lettered": counts["messages"]["dead_lettered"], "samples": counts["samples"]["decoded"],
            "stages": [stage.name for stage in pipeline.stages]}  # fmt: skip


def _letters(recording: Recording) -> Any:
    if sc.DEAD_LETTERS not in recording.topics():
        return iter(())
    return (m for m in recording.messages([sc.DEAD_LETTERS]) if m.header(dead_letters.LETTER))
