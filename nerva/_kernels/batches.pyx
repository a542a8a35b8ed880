"""Mini-batches: rows of a data set gathered, scaled and transposed to (features, batch) in one pass."""

cimport numpy as cnp
from libc.stdint cimport int64_t
from libc.string cimport memset

from .arrays cimport as_array, matrix, real_type, vector
from .isa cimport (
    NERVA_FLOAT32,
    NERVA_FLOAT64,
    NERVA_UINT8,
    kernels,
    nerva_images,
    nerva_matrix,
    nerva_move,
    nerva_table,
)
from .mkl cimport threads

cnp.import_array()


def gather(source, rows, out, scale=None, shift=None, image_shape=None, moves=None):
    """out[d, j] = source[rows[j], d] scale[d] + shift[d].

    Shapes: source (samples, D), uint8, float32 or float64, with unit stride along the features; rows int64 (N,) within
    0 to samples - 1; out (D, N); scale and shift float32 (D,), or None for 1 and 0.

    With `moves`, samples are images of image_shape (channels, height, width), D in all, and sample j is moved first:
    moves int32 (N, 3) holds (down, right, flip) in row j. Channel c, row y, column x becomes what was at (c, y + down,
    x + right), or with flip at (c, y + down, width - 1 - x + right), of the image padded by reflection (numpy.pad's
    "reflect"). |down| < height, |right| < width, flip 0 or 1.

    Returns whether the values of the samples are finite in the dtype of `out`; True, unchecked, with `moves`.
    """
    cdef int typenum = real_type(out, "out")
    cdef sample_source samples = check_source(source, rows, -1, scale, shift)
    cdef nerva_matrix x = matrix(out, "out", typenum, samples.features, samples.N, True)
    take_moves(&samples, image_shape, moves)
    cdef const nerva_table *kernel = kernels(typenum)
    cdef const nerva_images *moved = &samples.images if samples.moved else NULL
    cdef bint broken
    with nogil:
        broken = kernel.gather(samples.kind, samples.data.data, samples.data.ld, samples.rows, moved, samples.N,
                               samples.features, samples.scale, samples.shift, threads(), x)
    return not broken


cdef sample_source check_source(object source, object rows, Py_ssize_t features, object scale,
                                object shift) except *:
    """The samples that `gather` takes, checked, not moved; of so many features, or any number where it is negative."""
    cdef sample_source samples
    cdef int source_type = cnp.PyArray_TYPE(as_array(source, "source"))
    cdef Py_ssize_t j
    memset(&samples, 0, sizeof(sample_source))
    if source_type == cnp.NPY_UINT8:
        samples.kind = NERVA_UINT8
    elif source_type == cnp.NPY_FLOAT32:
        samples.kind = NERVA_FLOAT32
    elif source_type == cnp.NPY_FLOAT64:
        samples.kind = NERVA_FLOAT64
    else:
        raise TypeError(f"source has dtype {source.dtype}; it must be uint8, float32 or float64")
    samples.data = matrix(source, "source", source_type, -1, features)
    samples.count, samples.features = source.shape
    samples.N = as_array(rows, "rows").size
    samples.rows = <int64_t *> vector(rows, "rows", cnp.NPY_INT64, samples.N)
    if scale is not None:
        samples.scale = <float *> vector(scale, "scale", cnp.NPY_FLOAT32, samples.features)
    if shift is not None:
        samples.shift = <float *> vector(shift, "shift", cnp.NPY_FLOAT32, samples.features)
    for j in range(samples.N):
        if not 0 <= samples.rows[j] < samples.count:
            raise ValueError(f"rows[{j}] is {samples.rows[j]}; it must be within 0 to {samples.count - 1}")
    return samples


cdef int take_moves(sample_source *samples, object image_shape, object moves) except -1:
    """Let the samples be images that are moved, checked to be within bounds; or not, where `moves` is None."""
    cdef nerva_move move
    cdef Py_ssize_t j, D = samples.features, N = samples.N
    samples.moved = moves is not None
    if not samples.moved:
        if image_shape is not None:
            raise ValueError(f"moves is None, but image_shape is {image_shape}; give both or neither")
        return 0
    cdef nerva_matrix table = matrix(moves, "moves", cnp.NPY_INT32, N, 3)
    cdef nerva_images *images = &samples.images
    if table.ld != 3 and N > 1:
        raise ValueError(f"moves has strides {moves.strides}; it must be contiguous")
    if not (isinstance(image_shape, tuple) and len(image_shape) == 3 and min(image_shape) > 0
            and image_shape[0] * image_shape[1] * image_shape[2] == D):
        raise ValueError(f"image_shape is {image_shape}; it must be (channels, height, width) of {D} features in all")
    images.height, images.width, images.moves = image_shape[1], image_shape[2], <const nerva_move *> table.data
    for j in range(N):
        move = images.moves[j]
        if not (-images.height < move.down < images.height and -images.width < move.right < images.width
                and 0 <= move.flip <= 1):
            raise ValueError(
                f"moves[{j}] is {(move.down, move.right, move.flip)}; it must be (down, right, flip) with "
                f"|down| < {images.height}, |right| < {images.width} and flip 0 or 1"
            )
    return 0
