"""Features: declared once as formulas, compiled into one transition function over windows per key."""
