"""Who is to have what: terminals and their tokens, rollouts, actions, and what became of each."""
