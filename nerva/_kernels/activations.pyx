"""Bias and activation, forward and backward; SReLU, whose parameters are trained."""

cimport numpy as cnp

from .arrays cimport apart, check_activation, matrix, real_type, row, vector
from .isa cimport (
    NERVA_ALL_RELU, NERVA_GELU, NERVA_GELU_TANH, NERVA_IDENTITY, NERVA_LEAKY_RELU, NERVA_RELU, NERVA_SIGMOID,
    NERVA_SILU, NERVA_TANH, NERVA_TRELU, kernels, nerva_matrix, nerva_table,
)
from .mkl cimport threads

cnp.import_array()

# Activations whose derivative is computed from Y = f(Z): they can be fused with a product.
ACTIVATIONS = {
    "identity": NERVA_IDENTITY,
    "relu": NERVA_RELU,
    "leaky_relu": NERVA_LEAKY_RELU,
    "tanh": NERVA_TANH,
    "sigmoid": NERVA_SIGMOID,
}
# Activations whose derivative is computed from Z, not from Y: they cannot be fused with a product.
FROM_INPUTS = {
    "gelu": NERVA_GELU,
    "gelu_tanh": NERVA_GELU_TANH,
    "silu": NERVA_SILU,
    "all_relu": NERVA_ALL_RELU,
    "trelu": NERVA_TRELU,
}


cdef int check_any_activation(int activation) except -1:
    if not 0 <= activation <= <int> NERVA_TRELU:
        raise ValueError(f"activation is {activation}; it must be a code of activations.ACTIVATIONS or FROM_INPUTS")
    return 0


def bias_activation(bias, int activation, double alpha, out):
    """out = f(out + b) in place.

    Shapes: bias (K,) or None, out (K, N). `activation` is a code of ACTIVATIONS, `alpha` the leaky ReLU's slope.
    """
    cdef int typenum = real_type(out, "out")
    cdef nerva_matrix y = matrix(out, "out", typenum, -1, -1, True)
    cdef Py_ssize_t K = out.shape[0], N = out.shape[1]
    cdef void *b = NULL if bias is None else vector(bias, "bias", typenum, K)
    cdef const nerva_table *kernel = kernels(typenum)
    check_activation(activation)
    apart(row(b, K), 1, K, "bias", y, K, N, "out", typenum)
    with nogil:
        kernel.bias_activation(K, N, b, activation, alpha, threads(), y)


def activation(Z, int activation, double alpha, out):
    """out = f(Z), for a code of ACTIVATIONS or FROM_INPUTS; out may be Z. Shapes: Z, out (K, N)."""
    cdef int typenum = real_type(Z, "Z")
    cdef nerva_matrix z = matrix(Z, "Z", typenum, -1, -1)
    cdef Py_ssize_t K = Z.shape[0], N = Z.shape[1]
    cdef nerva_matrix y = matrix(out, "out", typenum, K, N, True)
    cdef const nerva_table *kernel = kernels(typenum)
    check_any_activation(activation)
    apart(z, K, N, "Z", y, K, N, "out", typenum, True)
    with nogil:
        kernel.activation(K, N, z, activation, alpha, threads(), y)


def activation_backward(DY, Y, int activation, double alpha, DZ, Db=None):
    """DZ = DY f'(Z), and Db = its row sums, where Y = f(Z); for a code of FROM_INPUTS, Y is Z instead.

    Shapes: DY, Y, DZ (K, N), Db (K,) or None. DZ may be DY.
    """
    cdef int typenum = real_type(DY, "DY")
    cdef nerva_matrix dy = matrix(DY, "DY", typenum, -1, -1)
    cdef Py_ssize_t K = DY.shape[0], N = DY.shape[1]
    cdef nerva_matrix y = matrix(Y, "Y", typenum, K, N)
    cdef bint written = DZ is not DY or activation != NERVA_IDENTITY
    cdef nerva_matrix dz = matrix(DZ, "DZ", typenum, K, N, written)
    cdef void *db = NULL if Db is None else vector(Db, "Db", typenum, K, True)
    cdef const nerva_table *kernel = kernels(typenum)
    check_any_activation(activation)
    apart(dy, K, N, "DY", dz, K, N, "DZ", typenum, True)
    if written:
        apart(y, K, N, "Y", dz, K, N, "DZ", typenum)
    apart(dy, K, N, "DY", row(db, K), 1, K, "Db", typenum)
    apart(y, K, N, "Y", row(db, K), 1, K, "Db", typenum)
    apart(dz, K, N, "DZ", row(db, K), 1, K, "Db", typenum)
    with nogil:
        kernel.activation_backward(K, N, dy, y, activation, alpha, threads(), dz, db)


cdef Py_ssize_t sets_of(parameters, Py_ssize_t K) except -1:
    """The number of sets of four parameters: 1, or K."""
    cdef Py_ssize_t size = getattr(parameters, "size", 0)
    if size != 4 and size != 4 * K:
        raise ValueError(f"parameters has {size} entries; there must be 4, or 4 for each of {K} features")
    return size // 4


def srelu(Z, parameters, out):
    """out = t_l + a_l (z - t_l) for z <= t_l, else z for z < t_r, else t_r + a_r (z - t_r).

    Shapes: Z, out (K, N); parameters (4,): t_l, a_l, t_r, a_r; or (4 K,): K of each, one per row. out may be Z.
    """
    cdef int typenum = real_type(Z, "Z")
    cdef nerva_matrix z = matrix(Z, "Z", typenum, -1, -1)
    cdef Py_ssize_t K = Z.shape[0], N = Z.shape[1]
    cdef nerva_matrix y = matrix(out, "out", typenum, K, N, True)
    cdef const nerva_table *kernel = kernels(typenum)
    cdef Py_ssize_t count = sets_of(parameters, K)
    cdef void *four = vector(parameters, "parameters", typenum, 4 * count)
    apart(z, K, N, "Z", y, K, N, "out", typenum, True)
    apart(row(four, 4 * count), 1, 4 * count, "parameters", y, K, N, "out", typenum)
    with nogil:
        kernel.srelu(K, N, z, four, count, threads(), y)


def srelu_backward(DY, Z, parameters, DZ, gradient, scratch):
    """DZ = DY f'(Z), and the gradient of the parameters.

    Shapes: DY, Z, DZ (K, N); parameters, gradient (4,) or (4 K,); scratch (4 K,), overwritten. DZ may be DY.
    """
    cdef int typenum = real_type(DY, "DY")
    cdef nerva_matrix dy = matrix(DY, "DY", typenum, -1, -1)
    cdef Py_ssize_t K = DY.shape[0], N = DY.shape[1]
    cdef nerva_matrix z = matrix(Z, "Z", typenum, K, N)
    cdef nerva_matrix dz = matrix(DZ, "DZ", typenum, K, N, True)
    cdef const nerva_table *kernel = kernels(typenum)
    cdef Py_ssize_t count = sets_of(parameters, K)
    cdef void *four = vector(parameters, "parameters", typenum, 4 * count)
    cdef void *to = vector(gradient, "gradient", typenum, 4 * count, True)
    cdef void *by_row = vector(scratch, "scratch", typenum, 4 * K, True)
    cdef nerva_matrix inputs[3]
    apart(dy, K, N, "DY", dz, K, N, "DZ", typenum, True)
    apart(z, K, N, "Z", dz, K, N, "DZ", typenum)
    inputs[0], inputs[1], inputs[2] = dy, z, dz
    for i, name in enumerate(("DY", "Z", "DZ")):
        apart(inputs[i], K, N, name, row(to, 4 * count), 1, 4 * count, "gradient", typenum)
        apart(inputs[i], K, N, name, row(by_row, 4 * K), 1, 4 * K, "scratch", typenum)
    apart(row(four, 4 * count), 1, 4 * count, "parameters", dz, K, N, "DZ", typenum)
    apart(row(four, 4 * count), 1, 4 * count, "parameters", row(to, 4 * count), 1, 4 * count, "gradient", typenum)
    apart(row(four, 4 * count), 1, 4 * count, "parameters", row(by_row, 4 * K), 1, 4 * K, "scratch", typenum)
    apart(row(to, 4 * count), 1, 4 * count, "gradient", row(by_row, 4 * K), 1, 4 * K, "scratch", typenum)
    with nogil:
        kernel.srelu_backward(K, N, dy, z, four, count, threads(), dz, to, by_row)
