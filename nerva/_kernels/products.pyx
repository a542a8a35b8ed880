"""The products of a linear layer: gemm, spmm (W X), spmm_t (W' DY) and sddmm (DY X' on the pattern of W)."""

cimport numpy as cnp
from libc.limits cimport INT_MAX

from .arrays cimport apart, check_activation, matrix, real_type, row, vector
from .csr cimport CSR
from .dense cimport GRADIENT, INPUT, OUTPUT, dense_product, multiply
from .isa cimport kernels, nerva_csr, nerva_matrix, nerva_table
from .mkl cimport (
    CblasNoTrans, CblasTrans, SPARSE_LAYOUT_ROW_MAJOR, SPARSE_MATRIX_TYPE_GENERAL,
    SPARSE_OPERATION_NON_TRANSPOSE, check, matrix_descr, mkl_sparse_d_mm, mkl_sparse_s_mm, sparse_matrix_t,
    sparse_status_t, threads,
)

cnp.import_array()

BACKENDS = ("native", "mkl", "dense")

cdef enum:
    NATIVE, MKL, DENSE


cdef int backend_code(str backend) except -1:
    if backend == "native":
        return NATIVE
    if backend == "mkl":
        return MKL
    if backend == "dense":
        return DENSE
    raise ValueError(f"backend is {backend!r}; it must be one of {', '.join(BACKENDS)}")


def gemm(A, B, out, bint transpose_a=False, bint transpose_b=False, double alpha=1.0, double beta=0.0):
    """out = alpha op(A) op(B) + beta out, dense, by MKL; op transposes if requested.

    Shapes: op(A) (m, k), op(B) (k, n), out (m, n).
    """
    cdef int typenum = real_type(A, "A")
    cdef nerva_matrix a = matrix(A, "A", typenum, -1, -1)
    cdef Py_ssize_t m = A.shape[1 if transpose_a else 0], k = A.shape[0 if transpose_a else 1]
    cdef nerva_matrix b = matrix(B, "B", typenum, -1 if transpose_b else k, k if transpose_b else -1)
    cdef Py_ssize_t n = B.shape[0 if transpose_b else 1]
    cdef nerva_matrix c = matrix(out, "out", typenum, m, n, True)
    apart(a, A.shape[0], A.shape[1], "A", c, m, n, "out", typenum)
    apart(b, B.shape[0], B.shape[1], "B", c, m, n, "out", typenum)
    if m == 0 or n == 0:
        return
    if k == 0:
        out[:] = beta * out if beta else 0
        return
    if max(m, n, k, a.ld, b.ld, c.ld) > INT_MAX:
        raise ValueError(f"the product of {A.shape} and {B.shape} is too large for 32-bit BLAS")
    cdef int ta = CblasTrans if transpose_a else CblasNoTrans
    cdef int tb = CblasTrans if transpose_b else CblasNoTrans
    with nogil:
        multiply(typenum, ta, tb, m, n, k, alpha, a, b, beta, c)


cdef int mkl_product(CSR W, bint transposed, nerva_matrix x, nerva_matrix y, Py_ssize_t N) except -1:
    """y = W x or W' x by W's persistent MKL handle, one Python thread at a time."""
    with W.lock:
        locked_mkl_product(W, W.handle(transposed), x, y, N)
    return 0


cdef int locked_mkl_product(CSR W, sparse_matrix_t handle, nerva_matrix x, nerva_matrix y, Py_ssize_t N) except -1:
    cdef matrix_descr general = matrix_descr(SPARSE_MATRIX_TYPE_GENERAL, 0, 0)
    cdef sparse_status_t status
    cdef bint single = W.typenum == cnp.NPY_FLOAT32
    if max(N, x.ld, y.ld) > INT_MAX:
        raise ValueError(f"a batch of {N} with row strides {x.ld} and {y.ld} is too large for MKL's 32-bit interface")
    with nogil:
        if single:
            status = mkl_sparse_s_mm(SPARSE_OPERATION_NON_TRANSPOSE, 1.0, handle, general, SPARSE_LAYOUT_ROW_MAJOR,
                                     <float *> x.data, <int> N, <int> x.ld, 0.0, <float *> y.data, <int> y.ld)
        else:
            status = mkl_sparse_d_mm(SPARSE_OPERATION_NON_TRANSPOSE, 1.0, handle, general, SPARSE_LAYOUT_ROW_MAJOR,
                                     <double *> x.data, <int> N, <int> x.ld, 0.0, <double *> y.data, <int> y.ld)
    check(status, "mkl_sparse_s_mm" if single else "mkl_sparse_d_mm")
    return 0


def spmm(CSR W not None, X, out, bias=None, int activation=0, double alpha=0.0, str backend="native"):
    """out = f(W X + b).

    Shapes: W (K, D), X (D, N), bias (K,) or None, out (K, N). `activation` is a code of activations.ACTIVATIONS,
    `alpha` the slope of the leaky ReLU, `backend` "native", "mkl", or "dense": by gemm on dense blocks of W's rows,
    whose memory W keeps (and counts in its nbytes). By "dense", an infinity or NaN in X spreads to every output of its
    sample.
    """
    cdef nerva_matrix x = matrix(X, "X", W.typenum, W.columns, -1)
    cdef Py_ssize_t N = X.shape[1]
    cdef nerva_matrix y = matrix(out, "out", W.typenum, W.rows, N, True)
    cdef void *b = NULL if bias is None else vector(bias, "bias", W.typenum, W.rows)
    cdef const nerva_table *kernel = kernels(W.typenum)
    cdef int code = backend_code(backend)
    check_activation(activation)
    apart(x, W.columns, N, "X", y, W.rows, N, "out", W.typenum)
    apart(row(b, W.rows), 1, W.rows, "bias", y, W.rows, N, "out", W.typenum)
    if N == 0:
        return
    if code == MKL:
        mkl_product(W, False, x, y, N)
    elif code == DENSE:
        dense_product(W, OUTPUT, x, y, N, NULL)
    with nogil:
        if code == NATIVE:
            kernel.spmm(&W.direct, x, N, b, activation, alpha, threads(), y)
        elif b != NULL or activation != 0:
            kernel.bias_activation(W.rows, N, b, activation, alpha, threads(), y)


def spmm_t(CSR W not None, DY, out, str backend="native"):
    """out = W' DY, the gradient with respect to the input of a layer.

    Shapes: W (K, D), DY (K, N), out (D, N). `backend` is "native", "mkl" or "dense", as for `spmm`.
    """
    cdef nerva_matrix dy = matrix(DY, "DY", W.typenum, W.rows, -1)
    cdef Py_ssize_t N = DY.shape[1]
    cdef nerva_matrix dx = matrix(out, "out", W.typenum, W.columns, N, True)
    cdef const nerva_table *kernel = kernels(W.typenum)
    cdef nerva_csr *companion
    cdef int code = backend_code(backend)
    apart(dy, W.rows, N, "DY", dx, W.columns, N, "out", W.typenum)
    if N == 0:
        return
    if code == MKL:
        mkl_product(W, True, dy, dx, N)
        return
    if code == DENSE:
        dense_product(W, INPUT, dx, dy, N, NULL)
        return
    companion = W.companion()
    with nogil:
        kernel.spmm(companion, dy, N, NULL, 0, 0.0, threads(), dx)


def sddmm(CSR W not None, DY, X, out, str backend="native"):
    """out[j] = sum_n DY[k, n] X[d, n] for each weight j = (k, d) of W: the weight gradient on its pattern.

    Shapes: W (K, D), DY (K, N), X (D, N), out (nnz,). `backend` is "native" or "dense": MKL has no such product.
    """
    cdef nerva_matrix dy = matrix(DY, "DY", W.typenum, W.rows, -1)
    cdef Py_ssize_t N = DY.shape[1]
    cdef nerva_matrix x = matrix(X, "X", W.typenum, W.columns, N)
    cdef void *g = vector(out, "out", W.typenum, W.nnz, True)
    cdef const nerva_table *kernel = kernels(W.typenum)
    cdef int code = backend_code(backend)
    if code == MKL:
        raise ValueError("backend is 'mkl'; it must be native or dense for the product on a pattern")
    apart(dy, W.rows, N, "DY", row(g, W.nnz), 1, W.nnz, "out", W.typenum)
    apart(x, W.columns, N, "X", row(g, W.nnz), 1, W.nnz, "out", W.typenum)
    if code == DENSE and N > 0:
        dense_product(W, GRADIENT, x, dy, N, g)
        return
    with nogil:
        kernel.sddmm(&W.direct, dy, x, N, threads(), g)


def check_batch(A, str name, dtype, Py_ssize_t features, Py_ssize_t batch=-1):
    """Raise TypeError or ValueError, which names the argument, unless A is a valid matrix (features, batch)."""
    matrix(A, name, dtype.num, features, batch)
