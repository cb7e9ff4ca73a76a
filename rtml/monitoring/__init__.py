"""What moved in a stream and what harm it does: monitor, alerts, impact."""
