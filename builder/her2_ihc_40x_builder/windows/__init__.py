"""Windows of regions, and which side of a split each is on."""
