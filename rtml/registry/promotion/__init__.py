"""Which version serves: the gate, challengers in shadow, the sequential test between two versions."""
