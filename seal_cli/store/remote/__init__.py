"""Artifacts to and from other places: push, pull, and what both stand on."""
