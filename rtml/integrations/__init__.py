"""Foreign systems, one module each, imported only when asked for."""
