"""The terminal: who it is, what it lends, what it takes, and what became of it."""
