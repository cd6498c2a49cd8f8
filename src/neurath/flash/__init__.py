"""Memory as it really is: geometry, bank, state log, and the C core that rewrites it."""
