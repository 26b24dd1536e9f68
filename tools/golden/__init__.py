"""Bytes of real senders, taken once and committed: `make golden`."""
