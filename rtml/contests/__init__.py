"""What the gate decides with: candidates in shadow, duels, rules."""
