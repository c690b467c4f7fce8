"""Waymark: mutable names for immutable files."""
