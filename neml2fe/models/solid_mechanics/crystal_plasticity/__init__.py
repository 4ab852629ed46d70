"""Crystal plasticity: slip systems of a lattice, laws of slip, and the lattice's rotation."""
