"""Training: a flow that follows the log, saves versions and starts again where it was stopped."""
