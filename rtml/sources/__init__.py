"""Where raw events come from: generators, recordings, exchanges."""
