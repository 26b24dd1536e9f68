"""The catalogue: one file for each part of the house that can be wrong."""
