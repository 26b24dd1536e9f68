"""Reasoners: queries that put an open case before somebody who can only choose among what is there."""
