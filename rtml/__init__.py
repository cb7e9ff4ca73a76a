"""Real-time machine learning: from raw events to served, continually learning predictions."""
