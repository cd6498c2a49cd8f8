"""The server: software store, deltas, delivery, progress. It holds no release key."""
