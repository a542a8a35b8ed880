"""What nerva runs on, and which backend computes each product of a sparse layer."""
