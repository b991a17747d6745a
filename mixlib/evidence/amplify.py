"""Placeholder."""

CLAIMS: tuple = ()
