"""Where is a price in ten seconds? Trades, bars, returns."""
