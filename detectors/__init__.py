"""Closed windows in, anomalies with a tail probability out. `ls detectors/` is the list of detectors."""

from detectors._contract import Detector, State, grow
from detectors._detect import Detect, DetectState

__all__ = ["Detect", "DetectState", "Detector", "State", "grow"]
