"""Closed windows in, anomalies with a tail probability out. `ls detectors/` is the list of detectors."""

from detectors._canary import CanaryRule, Judged, judge, looks
from detectors._contract import Choosy, Detector, Quick, State, grow
from detectors._detect import Detect, DetectState
from detectors._fdr import FdrLedger, FdrRule, discoveries
from detectors._split import part_of
from detectors._watch import Watching, WatchRule, WatchState

__all__ = [
    "CanaryRule",
    "Choosy",
    "Detect",
    "DetectState",
    "Detector",
    "FdrLedger",
    "FdrRule",
    "Judged",
    "Quick",
    "State",
    "WatchRule",
    "WatchState",
    "Watching",
    "discoveries",
    "grow",
    "judge",
    "looks",
    "part_of",
]
