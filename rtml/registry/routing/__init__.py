"""Routes: which version answers whom, and what may be concluded from the answers."""
