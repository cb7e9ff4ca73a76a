"""A loopback exchange: Kraken and Binance on 127.0.0.1, from a tape, at any speed, with faults on command."""
