"""The protocol that all methods share."""
