/* Softmax cross-entropy over the columns of (classes, batch), a vector of columns at a time, on one thread. */
#include <math.h>

#include "parallel.h"

/* P = e^(z - maximum of the column); return its column sums, and set the maximum and the first row that attains it. */
INLINE V exponentials(int64_t C, const R *z, int64_t ldz, M lanes, R *p, int64_t ldp, V *largest, V *where) {
    V top = vload_first(lanes, z), row = vzero();
    for (int64_t c = 1; c < C; c++) {
        const V x = vload_first(lanes, z + c * ldz);
        row = vselect_greater(x, top, vset((R)c), row);
        top = vmax(top, x);
    }
    V total = vzero();
    for (int64_t c = 0; c < C; c++) {
        const V e = vexp(vsub(vload_first(lanes, z + c * ldz), top));
        vstore_first(lanes, p + c * ldp, e);
        total = vadd(total, e);
    }
    *largest = top;
    *where = row;
    return total;
}

int64_t NAME(softmax_cross_entropy)(int64_t C, int64_t N, nerva_matrix Z, const int64_t *labels, double scale,
                                    nerva_matrix DZ, double *per_sample) {
    const unsigned mode = flush_subnormals();
    int64_t correct = 0;
    for (int64_t n = 0; n < N; n += L) {
        const int count = N - n < L ? (int)(N - n) : L;
        const M lanes = vfirst(count);
        const R *z = (const R *)Z.data + n;
        R *dz = (R *)DZ.data + n;
        R own[L], tops[L], totals[L], rows[L]; /* own: logits at the labels, read before DZ is written: it may be Z */
        for (int i = 0; i < count; i++) own[i] = z[labels[n + i] * Z.ld + i];
        V top, row;
        const V total = exponentials(C, z, Z.ld, lanes, dz, DZ.ld, &top, &row);
        const V factor = vdiv(vset((R)scale), total);
        for (int64_t c = 0; c < C; c++)
            vstore_first(lanes, dz + c * DZ.ld, vmul(vload_first(lanes, dz + c * DZ.ld), factor));
        vstore(tops, top);
        vstore(totals, total);
        vstore(rows, row);
        for (int i = 0; i < count; i++) {
            dz[labels[n + i] * DZ.ld + i] -= (R)scale;
            per_sample[n + i] = log((double)totals[i]) + ((double)tops[i] - (double)own[i]);
            correct += (int64_t)rows[i] == labels[n + i];
        }
    }
    _mm_setcsr(mode);
    return correct;
}
