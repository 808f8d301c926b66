"""Which images there are, whose they are, and how they are split and read."""
