"""Memory of whole pages, which the system has back as soon as the last array that uses it is gone."""

cimport numpy as cnp
from libc.stdint cimport uintptr_t

cnp.import_array()

cdef extern from "<sys/mman.h>" nogil:
    enum:
        MADV_HUGEPAGE
        MAP_ANONYMOUS
        MAP_PRIVATE
        PROT_READ
        PROT_WRITE
    void *mmap(void *address, size_t length, int protection, int flags, int file, long offset)
    int munmap(void *address, size_t length)
    int madvise(void *address, size_t length, int advice)


cdef class Mapping:
    """The owner of some pages."""

    cdef void *address
    cdef size_t size

    def __dealloc__(self):
        if self.address != NULL:
            munmap(self.address, self.size)


def pages(Py_ssize_t size):
    """Return `size` bytes that are zero and begin with a page: uint8 (size,).

    They take memory from when they are first written to. Raises ValueError for a size below 1, MemoryError where there
    is no room.
    """
    if size < 1:
        raise ValueError(f"size is {size}; it must be at least 1")
    cdef Mapping owner = Mapping.__new__(Mapping)
    cdef void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    if <uintptr_t> address == <uintptr_t> -1:  # MAP_FAILED
        raise MemoryError(f"{size} bytes are more than there are")
    owner.address, owner.size = address, size
    madvise(address, size, MADV_HUGEPAGE)  # as NumPy does; it may be refused
    cdef cnp.npy_intp length = size
    cdef cnp.ndarray array = cnp.PyArray_SimpleNewFromData(1, &length, cnp.NPY_UINT8, address)
    cnp.set_array_base(array, owner)
    return array
