"""What everything stands on: time, state as bytes, columns, questions, operators, callbacks, run folders."""
