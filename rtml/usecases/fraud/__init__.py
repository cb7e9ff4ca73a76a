"""Is a card payment fraud? Payments, 24 h spend per card, labels that come days later."""
