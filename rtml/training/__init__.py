"""Online training: a flow that follows the log; ``python -m rtml.training`` trains a run."""
