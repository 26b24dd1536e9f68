"""Executors: one file each, an unprefixed module with `PLUGIN`. Adding one is one file and one test."""
