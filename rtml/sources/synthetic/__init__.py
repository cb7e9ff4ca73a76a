"""Seeded streams whose truth is known."""
