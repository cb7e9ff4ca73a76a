"""Recorded markets: files of trades, quotes and candles, whatever their columns are called."""
