"""Checks of NumPy arrays: return the pointer a kernel takes, or raise an error that names the argument."""

cimport numpy as cnp

from .isa cimport NERVA_SIGMOID, nerva_matrix


cdef inline str describe(cnp.ndarray A):
    return f"{A.dtype} of shape {(<object> A).shape}"


cdef inline cnp.ndarray as_array(object A, str name):
    if not isinstance(A, cnp.ndarray):
        raise TypeError(f"{name} is {type(A).__name__}; it must be a NumPy array")
    return <cnp.ndarray> A


cdef inline int real_type(object A, str name) except -1:
    """The type number of a float32 or float64 array."""
    cdef int typenum = cnp.PyArray_TYPE(as_array(A, name))
    if typenum != cnp.NPY_FLOAT32 and typenum != cnp.NPY_FLOAT64:
        raise TypeError(f"{name} has dtype {A.dtype}; it must be float32 or float64")
    return typenum


cdef inline int check_flags(cnp.ndarray A, str name, int typenum, bint written) except -1:
    if not (cnp.PyArray_EquivTypenums(cnp.PyArray_TYPE(A), typenum) and cnp.PyArray_ISNOTSWAPPED(A)):
        raise TypeError(f"{name} has dtype {A.dtype}; it must be {cnp.PyArray_DescrFromType(typenum)}")
    if not cnp.PyArray_ISALIGNED(A):
        raise ValueError(f"{name} is not aligned to its item size")
    if written and not cnp.PyArray_ISWRITEABLE(A):
        raise ValueError(f"{name} is read-only; it is written by this call")
    return 0


cdef inline void *vector(object A, str name, int typenum, Py_ssize_t n, bint written=False) except NULL:
    """The data of a contiguous vector of shape (n,)."""
    cdef cnp.ndarray a = as_array(A, name)
    check_flags(a, name, typenum, written)
    if cnp.PyArray_NDIM(a) != 1 or cnp.PyArray_DIM(a, 0) != n:
        raise ValueError(f"{name} has shape {A.shape}; it must be ({n},)")
    if n > 1 and cnp.PyArray_STRIDE(a, 0) != cnp.PyArray_ITEMSIZE(a):
        raise ValueError(f"{name} has stride {A.strides[0]}; it must be contiguous")
    return cnp.PyArray_DATA(a)


cdef inline nerva_matrix matrix(object A, str name, int typenum, Py_ssize_t rows, Py_ssize_t columns,
                                bint written=False) except *:
    """The data and row stride of a matrix of shape (rows, columns) with unit stride along its columns.

    A negative `rows` or `columns` leaves that one free.
    """
    cdef cnp.ndarray a = as_array(A, name)
    cdef nerva_matrix m
    check_flags(a, name, typenum, written)
    if (cnp.PyArray_NDIM(a) != 2 or (rows >= 0 and cnp.PyArray_DIM(a, 0) != rows)
            or (columns >= 0 and cnp.PyArray_DIM(a, 1) != columns)):
        wanted = f"({rows if rows >= 0 else 'any'}, {columns if columns >= 0 else 'any'})"
        raise ValueError(f"{name} has shape {A.shape}; it must be {wanted}")
    cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(a)
    cdef Py_ssize_t across = cnp.PyArray_STRIDE(a, 0)
    m.data, m.ld = cnp.PyArray_DATA(a), max(cnp.PyArray_DIM(a, 1), 1)
    if cnp.PyArray_SIZE(a) == 0:  # NumPy gives such an array any strides
        return m
    if ((cnp.PyArray_DIM(a, 1) > 1 and cnp.PyArray_STRIDE(a, 1) != size)
            or (cnp.PyArray_DIM(a, 0) > 1 and (across % size != 0 or across < size * cnp.PyArray_DIM(a, 1)))):
        raise ValueError(f"{name} has strides {A.strides}; its columns must be {size} bytes apart and its rows must "
                         "follow each other without overlap")
    m.ld = max(across // size, m.ld)
    return m


cdef inline nerva_matrix row(void *data, Py_ssize_t n) noexcept:
    """A vector as a matrix of one row, for `apart`."""
    cdef nerva_matrix m
    m.data, m.ld = data, max(n, 1)
    return m


cdef inline int apart(nerva_matrix A, Py_ssize_t rows, Py_ssize_t columns, str name, nerva_matrix out,
                      Py_ssize_t out_rows, Py_ssize_t out_columns, str out_name, int typenum,
                      bint same=False) except -1:
    """Raise ValueError where an output overlaps an input; with `same`, it may be that matrix itself."""
    cdef Py_ssize_t size = 4 if typenum == cnp.NPY_FLOAT32 else 8
    cdef char *a = <char *> A.data
    cdef char *b = <char *> out.data
    if rows == 0 or columns == 0 or out_rows == 0 or out_columns == 0 or a == NULL or b == NULL:
        return 0
    if same and a == b and (A.ld == out.ld or rows == 1):
        return 0
    if (a < b + size * ((out_rows - 1) * out.ld + out_columns)) and (b < a + size * ((rows - 1) * A.ld + columns)):
        raise ValueError(f"{out_name} overlaps {name} in memory; give it memory of its own")
    return 0


cdef inline int check_activation(int activation) except -1:
    """Raise ValueError for a code that is not of an activation whose derivative is computed from Y."""
    if not 0 <= activation <= <int> NERVA_SIGMOID:
        raise ValueError(f"activation is {activation}; it must be a code of activations.ACTIVATIONS")
    return 0
