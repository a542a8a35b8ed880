"""What every benchmark is made of. Nothing here imports peers/, studies/, timings/ or a command.

Lowest first: workloads, workers, probe, peer; pairs; records; tables; check, memory, picture, ratios.
"""
