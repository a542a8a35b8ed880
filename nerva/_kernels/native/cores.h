#pragma once

/* The nanoseconds that a cache line takes from the first core to the second and back; negative, the error's number,
 * where a thread cannot be started on its core. */
double nerva_round_trip(int first, int second, long blocks, long trips);
