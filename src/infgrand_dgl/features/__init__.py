"""Feature matrices: dense, sparse, mapped or of 16 bits, behind one face."""
