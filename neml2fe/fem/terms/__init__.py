"""What adds forces and stiffness to a problem: solids, interfaces, springs, follower pressure."""
