"""The way from a check-in to a file: three calls that every carrier uses, the rule that chooses, tickets, notices."""
