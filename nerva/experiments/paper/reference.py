"""What the original measured: the logs of its repository, of February 2023, 4 threads of a processor that is not named.

Numbers by sparsity are pairs: the original, and PyTorch with masks.
"""

from __future__ import annotations

LOGS = "the original's logs (4 threads, its processor is not named)"
EPOCH = {  # seconds
    0.0: (8.22, 12.39),
    0.5: (31.50, 12.29),
    0.8: (12.70, 12.23),
    0.9: (7.41, 12.24),
    0.95: (4.91, 12.28),
    0.99: (2.87, 12.15),
    0.995: (2.63, 12.30),
    0.999: (2.31, 12.01),
}
INFERENCE = {  # milliseconds by batch
    1: {
        0.0: (0.87, 0.88),
        0.5: (1.16, 1.06),
        0.8: (0.41, 1.33),
        0.9: (0.22, 1.20),
        0.95: (0.118, 1.08),
        0.99: (0.086, 1.18),
        0.995: (0.059, 1.11),
        0.999: (0.059, 0.81),
    },
    100: {
        0.0: (7.1, 8.2),
        0.5: (26.1, 9.8),
        0.8: (11.8, 8.1),
        0.9: (7.3, 9.5),
        0.95: (5.6, 10.5),
        0.99: (4.5, 9.6),
        0.995: (3.3, 9.3),
        0.999: (3.4, 8.6),
    },
}
# Seconds of an epoch at density 0.01, by the number and the width of the hidden layers; None: out of memory, or no log.
SCALING: dict[tuple[int, int], tuple[float, float | None]] = {
    (1, 1024): (2.37, 10.5),
    (2, 1024): (3.29, 13.9),
    (3, 1024): (4.20, 17.6),
    (5, 1024): (5.95, 25.0),
    (10, 1024): (10.4, 43.1),
    (3, 2048): (10.2, 48.1),
    (3, 4096): (35.5, 137.5),
    (3, 8192): (128.9, 456.0),
    (3, 16384): (1101.0, 1670.0),
    (3, 32768): (4467.0, None),
}
