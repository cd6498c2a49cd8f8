"""People are told when something wants them: what stands, what was told, and the ways to tell."""
