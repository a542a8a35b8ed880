"""The products of a linear layer with sparse inputs: W X, and the gradient of W."""

cimport numpy as cnp
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from .arrays cimport apart, as_array, check_activation, matrix, row, vector
from .batches cimport sample_source
from .csr cimport CSR
from .isa cimport NERVA_FLOAT32, kernels, nerva_csr, nerva_matrix, nerva_table
from .mkl cimport threads
from .sparse_batch cimport SparseBatch

cnp.import_array()


def product(W, SparseBatch X not None, out, bias=None, int activation=0, double alpha=0.0):
    """out = f(W X + b) for a sparse X, at the cost of its entries times the weights of their features.

    Shapes: W (K, D), a CSR or an array; X (D, N), bias (K,) or None, out (K, N). `activation` is a code of
    activations.ACTIVATIONS, `alpha` the slope of the leaky ReLU.
    """
    cdef CSR sparse = W if isinstance(W, CSR) else None
    cdef const nerva_table *kernel = kernels(X.typenum)
    cdef nerva_csr *columns = NULL
    cdef nerva_matrix w, y
    cdef Py_ssize_t K, N
    cdef void *b
    with X.lock:
        N = X.batch
        if sparse is not None:
            check_weight(sparse, X)
            K = sparse.rows
        else:
            w = matrix(W, "W", X.typenum, -1, X.features)
            K = W.shape[0]
        y = matrix(out, "out", X.typenum, K, N, True)
        b = NULL if bias is None else vector(bias, "bias", X.typenum, K)
        check_activation(activation)
        apart(row(b, K), 1, K, "bias", y, K, N, "out", X.typenum)
        if N == 0:
            return
        if sparse is not None:
            columns = sparse.companion()
            with nogil:
                kernel.sparse_input_spmm(columns, &X.direct, b, activation, alpha, threads(), y)
            return
        apart(w, K, X.features, "W", y, K, N, "out", X.typenum)
        with nogil:
            kernel.sparse_input_gemm(K, w, &X.direct, b, activation, alpha, threads(), y)


def gradient(W, DZ, SparseBatch X not None, out):
    """out[j] = sum_n DZ[k, n] X[d, n] for each weight j = (k, d): zero where feature d does not occur in X.

    Shapes: W (K, D), DZ (K, N), X (D, N). out is (nnz,) where W is a CSR, (K, D) where it is an array. The values of W
    are not read.
    """
    cdef CSR sparse = W if isinstance(W, CSR) else None
    cdef const nerva_table *kernel = kernels(X.typenum)
    cdef nerva_csr *columns
    cdef const int32_t *features
    cdef nerva_matrix dz, g
    cdef Py_ssize_t K, N
    cdef void *flat
    with X.lock:
        N = X.batch
        dz = matrix(DZ, "DZ", X.typenum, -1 if sparse is None else sparse.rows, N)
        K = DZ.shape[0]
        if sparse is None:
            matrix(W, "W", X.typenum, K, X.features)
        else:
            check_weight(sparse, X)
            flat = vector(out, "out", X.typenum, sparse.nnz, True)
            apart(dz, K, N, "DZ", row(flat, sparse.nnz), 1, sparse.nnz, "out", X.typenum)
            columns = sparse.companion()
            features = X.transpose()
            with nogil:
                kernel.sparse_input_sddmm(columns, &X.transposed, features, dz, threads(), flat)
            return
        g = matrix(out, "out", X.typenum, K, X.features, True)
        apart(dz, K, N, "DZ", g, K, X.features, "out", X.typenum)
        features = X.transpose()
        with nogil:
            kernel.sparse_input_outer(K, X.features, &X.transposed, features, dz, threads(), g)


cdef int check_weight(CSR W, SparseBatch X) except -1:
    if W.typenum != X.typenum:
        raise TypeError(f"X has dtype {X.dtype}; it must be {W.dtype}")
    if W.columns != X.features:
        raise ValueError(f"X has shape {X.shape}; it must be ({W.columns}, any)")
    return 0


def check_batch(SparseBatch X not None, str name, dtype, Py_ssize_t features):
    """Raise TypeError or ValueError, which names the argument, where X has another dtype or number of features."""
    if X.dtype != dtype:
        raise TypeError(f"{name} has dtype {X.dtype}; it must be {dtype}")
    if X.features != features:
        raise ValueError(f"{name} has shape {X.shape}; it must be ({features}, any)")


cdef sample_source check_sparse_source(object source, object rows, Py_ssize_t features, int typenum) except *:
    """The samples `rows` of a data set, which a SparseBatch holds, of so many features and of this number type."""
    cdef sample_source samples
    cdef SparseBatch batch
    if not isinstance(source, SparseBatch):
        raise TypeError(f"source is {type(source).__name__}; it must be a SparseBatch")
    batch = source
    if batch.typenum != typenum:
        raise TypeError(f"source has dtype {batch.dtype}; it must be {cnp.PyArray_DescrFromType(typenum)}")
    memset(&samples, 0, sizeof(sample_source))
    samples.kind, samples.features, samples.N = NERVA_FLOAT32, features, as_array(rows, "rows").size
    samples.rows = <int64_t *> vector(rows, "rows", cnp.NPY_INT64, samples.N)
    if batch.features != features or batch.batch != samples.N:
        raise ValueError(f"source has shape {batch.shape}; it must be ({features}, {samples.N})")
    samples.sparse = &batch.direct
    return samples
