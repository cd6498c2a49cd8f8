"""Where an update file is gathered, piece by piece, and how it comes there."""
