"""One sender brings a million new series in a minute: `python -m bench.cardinality [--write]`.

`tidegate up` as it is by default, in a process of its own. LOUD posts remote write requests of 2,000 series that nobody
saw before, 500 of them spread over a minute, each once only whatever is answered; QUIET posts its own ten series every
half second. Told: what each was answered, how long QUIET waited for it, how many series of each were let in, and the
most memory that the process came to hold.
"""

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cramjam
import yaml

from streams._otlp_encode import varint
from streams._otlp_wire import wrap

RESULT = Path(__file__).resolve().parents[1] / "docs/results/cardinality.json"
REQUESTS, SERIES, MINUTE_S = 500, 2000, 60.0
TOKENS = {"loud": "loud-token-0123456789", "quiet": "quiet-token-0123456789"}
TYPE = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}


def request(who: str, first: int, n: int) -> bytes:
    """Samples of now of series `first` and the n - 1 behind it."""
    at = b"\x10" + varint(time.time_ns() // 1_000_000)
    parts = []
    for i in range(first, first + n):
        labels = (("__name__", "m"), ("job", who), ("user", str(i)))
        told = b"".join(wrap(1, wrap(1, name.encode()) + wrap(2, value.encode())) for name, value in labels)
        parts.append(wrap(1, told + wrap(2, b"\x09" + b"\0" * 8 + at)))
    return bytes(cramjam.snappy.compress_raw(b"".join(parts)))


def post(url: str, who: str, body: bytes) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        headers = TYPE | {"Authorization": f"Bearer {TOKENS[who]}"}
        connection.request("POST", "/api/v1/write", body, headers)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def quiet(url: str, stop: threading.Event, answers: Counter[int], waits_s: list[float]) -> None:
    while not stop.wait(0.5):
        begun = time.monotonic()
        answers[post(url, "quiet", request("quiet", 0, 10))] += 1
        waits_s.append(time.monotonic() - begun)


def loud(url: str, answers: Counter[int]) -> None:
    """Each request at its own moment of the minute, or at once if the one before took longer than that."""
    begun = time.monotonic()
    for k in range(REQUESTS):
        time.sleep(max(0.0, begun + k * MINUTE_S / REQUESTS - time.monotonic()))
        answers[post(url, "loud", request("loud", k * SERIES, SERIES))] += 1


def told(url: str) -> dict[str, dict[str, Any]]:
    """What the gateway says of its senders."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.request("GET", "/v1/sources", headers={"Authorization": f"Bearer {TOKENS['quiet']}"})
    found = {one["source"]: one for one in json.loads(connection.getresponse().read())["sources"]}
    connection.close()
    return found


def run() -> dict[str, Any]:
    tokens = [{"token": token, "source": who, "can_read": True} for who, token in TOKENS.items()]
    with tempfile.TemporaryDirectory() as place:
        settings = Path(place) / "settings.yaml"
        settings.write_text(yaml.safe_dump({"gateway": {"tokens": tokens}}))
        command = [sys.executable, "-m", "tidegate", "up", "--dir", f"{place}/log", "--port", "0", "--json",
                   "--settings", str(settings)]  # fmt: skip
        up = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert up.stdout is not None
            url = json.loads(up.stdout.readline())["url"]
            answers = {who: Counter[int]() for who in TOKENS}
            stop, waits_s = threading.Event(), list[float]()
            beside = threading.Thread(target=quiet, args=(url, stop, answers["quiet"], waits_s))
            beside.start()
            begun = time.monotonic()
            loud(url, answers["loud"])
            took = time.monotonic() - begun
            stop.set()
            beside.join()
            time.sleep(3)
            series = {one.partition("/")[0]: found["series"] for one, found in told(url).items()}
            status = Path(f"/proc/{up.pid}/status").read_text()
            peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        finally:
            up.terminate()
            up.wait(60)
    waits_s.sort()
    return {
        "bench": "cardinality",
        "offered_series": sum(answers["loud"].values()) * SERIES,
        "seconds": round(took, 1),
        "series_let_in": series,
        "answers": {who: {str(status): n for status, n in sorted(found.items())} for who, found in answers.items()},
        "quiet_waited_ms": {"median": _ms(waits_s, 0.5), "p95": _ms(waits_s, 0.95), "most": _ms(waits_s, 1)},
        "peak_mb": round(peak / 1024),
    }


def _ms(ordered_s: list[float], share: float) -> float:
    return round(1000 * ordered_s[min(int(share * len(ordered_s)), len(ordered_s) - 1)], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description="a flood of new series from one sender")
    parser.add_argument("--write", action="store_true", help="keep it in docs/results")
    result = run()
    if parser.parse_args().write:
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
