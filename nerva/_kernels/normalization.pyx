"""Batch normalization of the rows of (features, batch), forward and backward."""

cimport numpy as cnp

from .arrays cimport apart, check_activation, matrix, real_type, row, vector
from .isa cimport kernels, nerva_matrix, nerva_table
from .mkl cimport threads

cnp.import_array()


cdef int all_apart(list names, void **vectors, Py_ssize_t K, Py_ssize_t written, int typenum) except -1:
    """Raise ValueError where one of the last `written` vectors of shape (K,) overlaps another."""
    cdef Py_ssize_t i, j
    for i in range(len(names) - written, len(names)):
        for j in range(i):
            apart(row(vectors[j], K), 1, K, names[j], row(vectors[i], K), 1, K, names[i], typenum)
    return 0


def batch_norm(X, gamma, beta, double epsilon, double momentum, int activation, double alpha, out, *, mean, inverse,
               running_mean, running_variance):
    """out = f(gamma (X - mean) / sqrt(variance + epsilon) + beta), row by row.

    With arrays for `mean` and `inverse`, by the statistics of the batch: its mean and 1 / sqrt(variance + epsilon) are
    written there, and the running ones become (1 - momentum) of themselves plus momentum times the batch's, with the
    unbiased variance (divided by N - 1). With None for both, by the running statistics, which are not changed.

    Shapes: X, out (K, N); all others (K,). N must be 2 or more for the batch's statistics.
    """
    cdef int typenum = real_type(X, "X")
    cdef nerva_matrix x = matrix(X, "X", typenum, -1, -1)
    cdef Py_ssize_t K = X.shape[0], N = X.shape[1], i
    cdef bint training = mean is not None or inverse is not None
    cdef nerva_matrix y = matrix(out, "out", typenum, K, N, True)
    cdef void *v[6]
    cdef const nerva_table *kernel = kernels(typenum)
    names = ["gamma", "beta", "mean", "inverse", "running_mean", "running_variance"]
    v[0], v[1] = vector(gamma, "gamma", typenum, K), vector(beta, "beta", typenum, K)
    v[2] = v[3] = NULL
    if training:
        if N < 2:
            raise ValueError(f"X has shape {X.shape}; a batch's statistics need at least two samples")
        v[2], v[3] = vector(mean, "mean", typenum, K, True), vector(inverse, "inverse", typenum, K, True)
    v[4] = vector(running_mean, "running_mean", typenum, K, training)
    v[5] = vector(running_variance, "running_variance", typenum, K, training)
    check_activation(activation)
    if not epsilon >= 0:
        raise ValueError(f"epsilon is {epsilon}; it must not be negative")
    apart(x, K, N, "X", y, K, N, "out", typenum)
    for i in range(6):
        apart(row(v[i], K), 1, K, names[i], y, K, N, "out", typenum)
        if i >= 2 and training:
            apart(x, K, N, "X", row(v[i], K), 1, K, names[i], typenum)
    if training:
        all_apart(names, v, K, 4, typenum)
    with nogil:
        kernel.batch_norm(K, N, x, v[0], v[1], epsilon, momentum, activation, alpha, threads(), y, v[2], v[3], v[4],
                          v[5])


def batch_norm_backward(DY, Y, X, gamma, mean, inverse, int activation, double alpha, *, DX, Dgamma, Dbeta):
    """The backward pass of batch normalization by the batch's statistics.

    With D = DY f'(Z) and X^ = (X - mean) inverse,

    Dbeta = sum D;  Dgamma = sum D X^;  DX = gamma inverse (D - Dbeta / N - X^ Dgamma / N), sums over the batch.

    Shapes: DY, Y, X, DX (K, N); all others (K,). DX may be DY, or None where the input gradient is not needed.
    """
    cdef int typenum = real_type(DY, "DY")
    cdef nerva_matrix dy = matrix(DY, "DY", typenum, -1, -1)
    cdef Py_ssize_t K = DY.shape[0], N = DY.shape[1], i
    cdef nerva_matrix y = matrix(Y, "Y", typenum, K, N), x = matrix(X, "X", typenum, K, N), dx
    cdef void *v[5]
    cdef const nerva_table *kernel = kernels(typenum)
    names = ["gamma", "mean", "inverse", "Dgamma", "Dbeta"]
    v[0], v[1] = vector(gamma, "gamma", typenum, K), vector(mean, "mean", typenum, K)
    v[2] = vector(inverse, "inverse", typenum, K)
    v[3], v[4] = vector(Dgamma, "Dgamma", typenum, K, True), vector(Dbeta, "Dbeta", typenum, K, True)
    check_activation(activation)
    dx.data, dx.ld = NULL, 1
    if DX is not None:
        dx = matrix(DX, "DX", typenum, K, N, True)
        apart(dy, K, N, "DY", dx, K, N, "DX", typenum, True)
        apart(y, K, N, "Y", dx, K, N, "DX", typenum)
        apart(x, K, N, "X", dx, K, N, "DX", typenum)
        for i in range(5):
            apart(row(v[i], K), 1, K, names[i], dx, K, N, "DX", typenum)
    for i in range(3, 5):
        apart(dy, K, N, "DY", row(v[i], K), 1, K, names[i], typenum)
        apart(y, K, N, "Y", row(v[i], K), 1, K, names[i], typenum)
        apart(x, K, N, "X", row(v[i], K), 1, K, names[i], typenum)
    all_apart(names, v, K, 2, typenum)
    if N == 0:
        raise ValueError(f"DY has shape {DY.shape}; there must be at least one sample")
    with nogil:
        kernel.batch_norm_backward(K, N, dy, y, x, v[0], v[1], v[2], activation, alpha, threads(), dx, v[3], v[4])
