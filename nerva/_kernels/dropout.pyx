"""Dropout of the numbers of a matrix or a vector, by a generator that counts: nothing is stored but a key."""

cimport numpy as cnp
from libc.stdint cimport uint64_t

from .arrays cimport apart, check_activation, matrix, real_type, row, vector
from .isa cimport kernels, nerva_matrix, nerva_table
from .mkl cimport threads

cnp.import_array()

cdef enum:
    # A vector is taken as a matrix of rows so long, one key a row.
    LENGTH = 1024


cdef int check_rate(double rate) except -1:
    if not 0 <= rate < 1:
        raise ValueError(f"rate is {rate}; it must be from 0 to below 1")
    return 0


def drop(X, uint64_t key, double rate, out):
    """out = X / (1 - rate) at each place with probability 1 - rate, else 0: the same places for the same key.

    Shapes: X, out (K, N), N below 2**31. out may be X.
    """
    cdef int typenum = real_type(X, "X")
    cdef nerva_matrix x = matrix(X, "X", typenum, -1, -1)
    cdef Py_ssize_t K = X.shape[0], N = X.shape[1]
    cdef nerva_matrix y = matrix(out, "out", typenum, K, N, True)
    cdef const nerva_table *kernel = kernels(typenum)
    check_rate(rate)
    if N > 2**31 - 1:
        raise ValueError(f"X has shape {X.shape}; a batch must be below 2**31")
    apart(x, K, N, "X", y, K, N, "out", typenum, True)
    with nogil:
        kernel.drop(K, N, x, key, 0, rate, threads(), y)


def drop_backward(DY, Y, uint64_t key, double rate, int activation, double alpha, DZ, Db=None):
    """The way back through `drop`, and through the activation before it, of which Y = f(Z) came:

    DZ = DY f'(Z) / (1 - rate) at the places that stay, else 0, and Db = the sums of its rows.

    Shapes: DY, Y, DZ (K, N), Db (K,) or None. `activation` is a code of elementwise.ACTIVATIONS. DZ may be DY.
    """
    cdef int typenum = real_type(DY, "DY")
    cdef nerva_matrix dy = matrix(DY, "DY", typenum, -1, -1)
    cdef Py_ssize_t K = DY.shape[0], N = DY.shape[1]
    cdef nerva_matrix y = matrix(Y, "Y", typenum, K, N), dz = matrix(DZ, "DZ", typenum, K, N, True)
    cdef void *db = NULL if Db is None else vector(Db, "Db", typenum, K, True)
    cdef const nerva_table *kernel = kernels(typenum)
    check_rate(rate)
    check_activation(activation)
    if N > 2**31 - 1:
        raise ValueError(f"DY has shape {DY.shape}; a batch must be below 2**31")
    apart(dy, K, N, "DY", dz, K, N, "DZ", typenum, True)
    apart(y, K, N, "Y", dz, K, N, "DZ", typenum)
    apart(dy, K, N, "DY", row(db, K), 1, K, "Db", typenum)
    apart(y, K, N, "Y", row(db, K), 1, K, "Db", typenum)
    apart(dz, K, N, "DZ", row(db, K), 1, K, "Db", typenum)
    with nogil:
        kernel.drop_backward(K, N, dy, y, key, rate, activation, alpha, threads(), dz, db)


def drop_vector(x, uint64_t key, double rate, out):
    """The same for vectors: out = x / (1 - rate) or 0. Shapes: x, out (n,). out may be x."""
    cdef int typenum = real_type(x, "x")
    cdef Py_ssize_t n = x.size, rows = n // LENGTH, rest = n - n // LENGTH * LENGTH
    cdef Py_ssize_t size = 4 if typenum == cnp.NPY_FLOAT32 else 8, done = rows * LENGTH * size
    cdef nerva_matrix source, target
    source.data, source.ld = vector(x, "x", typenum, n), LENGTH
    target.data, target.ld = vector(out, "out", typenum, n, True), LENGTH
    cdef const nerva_table *kernel = kernels(typenum)
    check_rate(rate)
    apart(row(source.data, n), 1, n, "x", row(target.data, n), 1, n, "out", typenum, True)
    with nogil:
        kernel.drop(rows, LENGTH, source, key, 0, rate, threads(), target)
        if rest:
            source.data, target.data = <char *> source.data + done, <char *> target.data + done
            kernel.drop(1, rest, source, key, rows, rate, 1, target)
