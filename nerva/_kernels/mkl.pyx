"""MKL: its threading layer, chosen at import, its version, the number of threads, and its status as an exception."""

from operator import index

cdef extern from "openmp.h":
    bint nerva_openmp_is_intel()
    const char *nerva_openmp_file()

# Whatever MKL_INTERFACE_LAYER and MKL_THREADING_LAYER say: 32-bit integers, and the OpenMP runtime of the kernels. If
# that is libgomp, which PyTorch made visible before us, the Intel layer would compute wrong products.
if MKL_Set_Interface_Layer(MKL_INTERFACE_LP64) != MKL_INTERFACE_LP64:
    raise ImportError("MKL already runs with another integer width in this process; import nerva first")
MKL_Set_Threading_Layer(MKL_THREADING_INTEL if nerva_openmp_is_intel() else MKL_THREADING_GNU)

cdef enum:
    MOST_THREADS = 1024  # OpenMP aborts the process where it cannot start as many threads as it is told

cdef int most = MOST_THREADS

_MEANINGS = {
    1: (ValueError, "the matrix handle is empty"),
    2: (MemoryError, "memory could not be allocated"),
    3: (ValueError, "an argument is invalid"),
    4: (RuntimeError, "the execution failed"),
    5: (RuntimeError, "an internal error"),
    6: (NotImplementedError, "the operation is not supported"),
}


cdef int check(sparse_status_t status, str routine) except -1:
    """Raise what a status other than success means."""
    if status != SPARSE_STATUS_SUCCESS:
        kind, meaning = _MEANINGS.get(status, (RuntimeError, f"status {status}"))
        raise kind(f"MKL's {routine} failed: {meaning}")
    return 0


cdef int threads() noexcept nogil:
    """The number of threads that a kernel may use: what OpenMP allows the calling thread, at most what was set."""
    return min(most, omp_get_max_threads())


def version():
    """Return MKL's own description of its version."""
    cdef char text[256]
    MKL_Get_Version_String(text, 256)
    return text[:255].decode(errors="replace").split("\0")[0].strip()


def openmp():
    """Return the file of the OpenMP runtime whose threads the kernels use."""
    cdef const char *file = nerva_openmp_file()
    return "unknown" if file == NULL else file.decode(errors="replace")


def get_num_threads():
    """Return how many threads the next kernel may use."""
    return threads()


def set_num_threads(n):
    """Let every kernel, MKL's included, use at most `n` threads; ValueError where n is not within 1 to 1024."""
    global most
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"n is {n!r}; it must be an integer")
    n = index(n)
    if not 1 <= n <= MOST_THREADS:
        raise ValueError(f"n is {n}; it must be within 1 to {MOST_THREADS}")
    most = n
    omp_set_num_threads(n)
    MKL_Set_Num_Threads(n)
