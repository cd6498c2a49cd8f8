"""What the three apparatuses say to one another: pure bytes to checked values and back. No I/O, no clock."""
