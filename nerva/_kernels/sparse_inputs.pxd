"""Sparse samples as a compiled network reads them, checked."""

from .batches cimport sample_source

cdef sample_source check_sparse_source(object source, object rows, Py_ssize_t features, int typenum) except *
