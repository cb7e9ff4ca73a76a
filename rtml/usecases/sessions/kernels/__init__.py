"""Compiled memory of sessions, and the lists made from it: arrays in, arrays out."""
