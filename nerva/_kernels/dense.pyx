"""The products of a sparse layer by gemm, on dense blocks of its rows: for high densities."""

cimport numpy as cnp
from libc.limits cimport INT_MAX
from libc.stdint cimport int32_t
from libc.string cimport memset

from .csr cimport CSR
from .isa cimport nerva_csr, nerva_matrix
from .mkl cimport CblasNoTrans, CblasRowMajor, CblasTrans, cblas_dgemm, cblas_sgemm

cnp.import_array()

cdef enum:
    # A block has at most BLOCK_SIZE elements, which fit a cache, but at least FEWEST_ROWS rows.
    BLOCK_SIZE = 1 << 20
    FEWEST_ROWS = 64

ctypedef fused real:
    float
    double


cdef void multiply(int typenum, int ta, int tb, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, double alpha,
                   nerva_matrix a, nerva_matrix b, double beta, nerva_matrix c) noexcept nogil:
    """c = alpha op(a) op(b) + beta c, all sizes below 2**31."""
    if typenum == cnp.NPY_FLOAT32:
        cblas_sgemm(CblasRowMajor, ta, tb, <int> m, <int> n, <int> k, <float> alpha, <float *> a.data, <int> a.ld,
                    <float *> b.data, <int> b.ld, <float> beta, <float *> c.data, <int> c.ld)
    else:
        cblas_dgemm(CblasRowMajor, ta, tb, <int> m, <int> n, <int> k, alpha, <double *> a.data, <int> a.ld,
                    <double *> b.data, <int> b.ld, beta, <double *> c.data, <int> c.ld)


cdef Py_ssize_t rows_of_block(Py_ssize_t rows, Py_ssize_t columns) noexcept:
    """The rows of a dense block of a matrix of this shape, all blocks of about the same height."""
    cdef Py_ssize_t most = min(rows, max(FEWEST_ROWS, BLOCK_SIZE // columns))
    cdef Py_ssize_t blocks = (rows + most - 1) // most
    return (rows + blocks - 1) // blocks


def block_nbytes(Py_ssize_t rows, Py_ssize_t columns, dtype):
    """Return the bytes that backend "dense" holds in addition to a CSR of this shape."""
    return rows_of_block(rows, columns) * columns * dtype.itemsize


cdef void scatter(const nerva_csr *W, Py_ssize_t first, Py_ssize_t last, real *block) noexcept nogil:
    """Write rows first to last - 1 of W as a dense matrix."""
    cdef const int32_t *indices = W.indices
    cdef const real *values = <const real *> W.values
    cdef Py_ssize_t row, j
    for row in range(first, last):
        memset(block, 0, W.cols * sizeof(real))
        for j in range(W.indptr[row], W.indptr[row + 1]):
            block[indices[j]] = values[j]
        block += W.cols


cdef void pick(const nerva_csr *W, Py_ssize_t first, Py_ssize_t last, const real *block, real *out) noexcept nogil:
    """Read a dense matrix at the weights of rows first to last - 1 of W."""
    cdef const int32_t *indices = W.indices
    cdef Py_ssize_t row, j
    for row in range(first, last):
        for j in range(W.indptr[row], W.indptr[row + 1]):
            out[j] = block[indices[j]]
        block += W.cols


cdef int dense_product(CSR W, int direction, nerva_matrix x, nerva_matrix dy, Py_ssize_t N, void *out) except -1:
    """dy = W x (OUTPUT), x = W' dy (INPUT), or out = dy x' on the pattern (GRADIENT), one block of rows after another.

    x belongs to the columns of W and dy to its rows; both are checked, and N is at least 1. Raises MemoryError where
    there is too little memory for the block.
    """
    cdef Py_ssize_t height = rows_of_block(W.rows, W.columns), D = W.columns, first = 0, last
    cdef bint single = W.typenum == cnp.NPY_FLOAT32
    cdef nerva_matrix block, y
    if max(N, x.ld, dy.ld) > INT_MAX:
        raise ValueError(f"a batch of {N} with row strides {x.ld} and {dy.ld} is too large for 32-bit BLAS")
    with W.lock:
        block.data, block.ld = W.block(height * D), D
        with nogil:
            while first < W.rows:
                last = min(first + height, W.rows)
                y.data, y.ld = <char *> dy.data + first * dy.ld * (4 if single else 8), dy.ld
                if direction == GRADIENT:
                    multiply(W.typenum, CblasNoTrans, CblasTrans, last - first, D, N, 1.0, y, x, 0.0, block)
                    if single:
                        pick[float](&W.direct, first, last, <float *> block.data, <float *> out)
                    else:
                        pick[double](&W.direct, first, last, <double *> block.data, <double *> out)
                else:
                    if single:
                        scatter[float](&W.direct, first, last, <float *> block.data)
                    else:
                        scatter[double](&W.direct, first, last, <double *> block.data)
                    if direction == OUTPUT:
                        multiply(W.typenum, CblasNoTrans, CblasNoTrans, last - first, N, D, 1.0, block, x, 0.0, y)
                    else:
                        multiply(W.typenum, CblasTrans, CblasNoTrans, D, N, last - first, 1.0, block, y,
                                 0.0 if first == 0 else 1.0, x)
                first = last
    return 0
