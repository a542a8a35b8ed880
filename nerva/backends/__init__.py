"""What nerva runs on (`config`), and which backend computes each product of a sparse layer (`calibration`)."""
