"""Who is to blame: accuracy and calibration on labelled public incidents. Run `python -m bench.diagnosis --help`."""
