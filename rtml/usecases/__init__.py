"""Use cases: one problem each; nothing in the package imports them by name."""
