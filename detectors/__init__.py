"""Closed windows in, anomalies with a tail probability out. `ls detectors/` is the list of detectors."""

from detectors._contract import Choosy, Detector, Quick, State, grow
from detectors._detect import Detect, DetectState
from detectors._split import part_of

__all__ = ["Choosy", "Detect", "DetectState", "Detector", "Quick", "State", "grow", "part_of"]
