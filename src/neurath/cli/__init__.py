"""The command line: one file a verb group; composition of the server happens in serve."""
