"""Samples of a data set as kernels gather them, checked."""

from libc.stdint cimport int64_t

from .isa cimport nerva_csr, nerva_images, nerva_matrix


cdef struct sample_source:
    int kind  # a nerva_source
    nerva_matrix data
    Py_ssize_t count, features, N  # samples of the source, features of each, samples to gather
    const int64_t *rows
    const float *scale
    const float *shift
    bint moved  # by `images`
    nerva_images images
    const nerva_csr *sparse  # or the samples themselves, (N, features)

cdef sample_source check_source(object source, object rows, Py_ssize_t features, object scale,
                                object shift) except *
cdef int take_moves(sample_source *samples, object image_shape, object moves) except -1
