"""Use cases: one problem on one page each."""
