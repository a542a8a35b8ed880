"""What every benchmark is made of. Nothing here imports peers/, studies/, timings/ or a command.

Lowest first: compiled, peer, workloads; cores, probe, use; workers; pairs; records; tables; check, memory, picture,
ratios.
"""
