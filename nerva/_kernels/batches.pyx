"""Mini-batches: rows of a data set gathered, scaled and turned into (features, batch) in one pass."""

cimport numpy as cnp
from libc.stdint cimport int64_t

from .arrays cimport as_array, matrix, real_type, vector
from .isa cimport NERVA_FLOAT32, NERVA_FLOAT64, NERVA_UINT8, kernels, nerva_matrix, nerva_table
from .mkl cimport threads

cnp.import_array()


def gather(source, rows, out, scale=None, shift=None):
    """out[d, j] = source[rows[j], d] scale[d] + shift[d].

    Shapes: source (samples, D), uint8, float32 or float64, with unit stride along the features; rows int64 (N,) within
    0 to samples - 1; out (D, N); scale and shift float32 (D,), or None for 1 and 0.
    """
    cdef cnp.ndarray samples = as_array(source, "source")
    cdef int source_type = cnp.PyArray_TYPE(samples), kind
    if source_type == cnp.NPY_UINT8:
        kind = NERVA_UINT8
    elif source_type == cnp.NPY_FLOAT32:
        kind = NERVA_FLOAT32
    elif source_type == cnp.NPY_FLOAT64:
        kind = NERVA_FLOAT64
    else:
        raise TypeError(f"source has dtype {source.dtype}; it must be uint8, float32 or float64")
    cdef nerva_matrix data = matrix(source, "source", source_type, -1, -1)
    cdef Py_ssize_t count = source.shape[0], D = source.shape[1], N = as_array(rows, "rows").size, j
    cdef const int64_t *row = <int64_t *> vector(rows, "rows", cnp.NPY_INT64, N)
    cdef int typenum = real_type(out, "out")
    cdef nerva_matrix x = matrix(out, "out", typenum, D, N, True)
    cdef const float *factor = NULL if scale is None else <float *> vector(scale, "scale", cnp.NPY_FLOAT32, D)
    cdef const float *offset = NULL if shift is None else <float *> vector(shift, "shift", cnp.NPY_FLOAT32, D)
    cdef const nerva_table *kernel = kernels(typenum)
    for j in range(N):
        if not 0 <= row[j] < count:
            raise ValueError(f"rows[{j}] is {row[j]}; it must be within 0 to {count - 1}")
    with nogil:
        kernel.gather(kind, data.data, data.ld, row, N, D, factor, offset, threads(), x)
