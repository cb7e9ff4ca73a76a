"""Trades of exchanges over REST and WebSocket, without gaps or doubles."""
