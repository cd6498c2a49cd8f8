"""Components of a terminal that are files: how each kind is put in place, and what says which one is there."""
