"""Products by gemm: of dense matrices, and of a sparse one by dense blocks of its rows."""

from .csr cimport CSR
from .isa cimport nerva_matrix

cdef enum:
    OUTPUT, INPUT, GRADIENT

cdef void multiply(int typenum, int ta, int tb, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, double alpha,
                   nerva_matrix a, nerva_matrix b, double beta, nerva_matrix c) noexcept nogil
cdef int dense_product(CSR W, int direction, nerva_matrix x, nerva_matrix dy, Py_ssize_t N, void *out) except -1
