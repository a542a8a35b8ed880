"""What the kernels must compute, in NumPy's float64, and the arrays they are tested on."""

import re
from dataclasses import dataclass

import numpy as np
from scipy import sparse, special

from nerva._kernels.csr import CSR
from nerva._kernels.sparse_batch import SparseBatch
from nerva.backends.cost_model import BATCHES, CANDIDATES, DENSITIES, Costs


# ---- what is computed
def activate(name, Z, alpha=0.0):
    """f(Z) in float64; NaN and infinities pass as in the formulas."""
    Z = np.asarray(Z, np.float64)
    with np.errstate(all="ignore"):
        match name:
            case "identity":
                return Z
            case "relu":
                return np.maximum(Z, 0)
            case "leaky_relu":
                return np.where(Z > 0, Z, alpha * Z)
            case "tanh":
                return np.tanh(Z)
            case "sigmoid":
                return special.expit(Z)
            case "trelu":
                return np.where(alpha > Z, 0.0, Z)
            case "all_relu":
                return np.where(Z > 0, Z, alpha * Z)
            case "gelu":
                return np.where(-np.inf == Z, 0.0, Z * special.ndtr(Z))
            case "gelu_tanh":
                inner = np.sqrt(2 / np.pi) * (Z + 0.044715 * Z**3)
                return np.where(-np.inf == Z, 0.0, Z * special.expit(2 * inner))
            case "silu":
                return np.where(-np.inf == Z, 0.0, Z * special.expit(Z))


def activation_slope(name, Y, alpha=0.0):
    """f'(Z) in float64, where Y = f(Z); at Z = 0 the ReLU family's slope is the one from below."""
    Y = np.asarray(Y, np.float64)
    match name:
        case "identity":
            return np.ones_like(Y)
        case "relu":
            return np.where(Y > 0, 1.0, 0.0)
        case "leaky_relu":
            return np.where(Y > 0, 1.0, alpha)
        case "tanh":
            return 1 - Y**2
        case "sigmoid":
            return Y * (1 - Y)


def softmax_cross_entropy(Z, labels):
    """(loss of each sample, gradient of their mean, number of correct predictions) in float64."""
    Z = np.asarray(Z, np.float64)
    N = Z.shape[1]
    logarithms = special.log_softmax(Z, axis=0)
    onehot = np.arange(len(Z))[:, None] == labels
    correct = np.sum(Z.argmax(axis=0) == labels)  # the first of equal logits is the prediction
    return -logarithms[labels, np.arange(N)], (np.exp(logarithms) - onehot) / N, correct


MASK64 = 2**64 - 1


def kept_by_dropout(key, row, N, rate):
    """Which of the N elements of a row the mask of a key keeps, by the definition, in Python's integers."""
    x = (key + 0x9E3779B97F4A7C15 * (row + 1)) & MASK64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK64
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK64
    x ^= x >> 31
    start, stride = x & 0xFFFFFFFF, x >> 32 | 1
    if (stride ^ stride >> 1).bit_count() < 12:
        stride ^= 0xAAAAAAAA
    hashes = (start + np.arange(N, dtype=np.uint64) * stride) & 0xFFFFFFFF
    hashes = (hashes ^ hashes >> 16) * 0x7FEB352D & 0xFFFFFFFF
    hashes = (hashes ^ hashes >> 15) * 0x846CA68B & 0xFFFFFFFF
    return (hashes ^ hashes >> 16) <= max(int((1 - rate) * 2**32) - 1, 0)


def sgd(gradient, rate, decay, weights):
    """The weights after one step."""
    return weights - rate * (gradient + decay * weights)


def momentum(gradient, rate, mu, nesterov, decay, velocity, weights):
    """(velocity, weights) after one step."""
    direction = gradient + decay * weights
    velocity = mu * velocity + direction
    return velocity, weights - rate * (direction + mu * velocity if nesterov else velocity)


def moved_images(images, image_shape, moves):
    """Images (N, D), each padded and cropped as its row (down, right, flip) of `moves` says."""
    channels, height, width = image_shape
    up, left = height - 1, width - 1
    whole = images.reshape(-1, channels, height, width)
    padded = np.pad(whole, ((0, 0), (0, 0), (up, up), (left, left)), mode="reflect")
    out = np.empty_like(whole)
    for j, (down, right, flip) in enumerate(moves):
        crop = padded[j, :, up + down : up + down + height, left + right : left + right + width]
        out[j] = crop[:, :, ::-1] if flip else crop
    return out.reshape(images.shape)


def stays(key, row, N, rate):
    """Which of the N entries of a row a dropout mask keeps, by the definition, in Python's integers."""
    x = (key + 0x9E3779B97F4A7C15 * (row + 1)) & (2**64 - 1)
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & (2**64 - 1)
    x = (x ^ x >> 27) * 0x94D049BB133111EB & (2**64 - 1)
    x ^= x >> 31
    start, stride = x & 0xFFFFFFFF, x >> 32 | 1
    if (stride ^ stride >> 1).bit_count() < 12:
        stride ^= 0xAAAAAAAA
    places = (start + np.arange(N, dtype=np.uint64) * stride) & 0xFFFFFFFF
    places = (places ^ places >> 16) * 0x7FEB352D & 0xFFFFFFFF
    places = (places ^ places >> 15) * 0x846CA68B & 0xFFFFFFFF
    return (places ^ places >> 16) <= max(int((1 - rate) * 2**32) - 1, 0)


def normalized(X, gamma, beta, mean=None, variance=None, epsilon=1e-5):
    """gamma (X - mean) / sqrt(variance + epsilon) + beta in float64, by the batch's statistics unless given."""
    X = np.asarray(X, np.float64)
    mean = X.mean(1) if mean is None else mean
    variance = X.var(1) if variance is None else variance
    return ((X - mean[:, None]) / np.sqrt(variance + epsilon)[:, None]) * gamma[:, None] + beta[:, None]


# ---- tolerances
def product_bound(dtype, A, B, plus=0.0):
    """The error bound of A B + plus as a sum of products rounded to `dtype`, in any order of summation."""
    terms = A.shape[1] + 4
    return terms * np.finfo(dtype).eps * (np.abs(A) @ np.abs(B) + np.abs(plus)) + np.finfo(dtype).tiny


def assert_within(got, wanted, bound, what=""):
    """|got - wanted| <= bound everywhere."""
    over = ~(np.abs(np.asarray(got, np.float64) - wanted) <= bound)
    assert not over.any(), f"{what}: {over.sum()} of {over.size} off, first at {np.argwhere(over)[0]}"


def assert_same_bits(got, wanted, what=""):
    """Equal to the last bit, NaN and the sign of zero included."""
    assert np.asarray(got).tobytes() == np.asarray(wanted).tobytes(), f"{what}: the bits differ"


def subnormals_are_live():
    """Whether this thread computes with subnormal numbers, as it should outside the kernels."""
    single = np.full(64, 1e-30, np.float32) * np.float32(1e-10)
    double = np.full(64, 1e-300) * 1e-10
    return bool((single > 0).all() and (double > 0).all())


# ---- arrays to test the kernels on
class Frame:
    """An array inside a larger one full of NaN: `offset` elements before it, `padding` after each row.

    What a kernel reads beyond the edge poisons its result; what it writes there is seen by `assert_intact_outside`.
    """

    def __init__(self, values, dtype, offset=0, padding=0):
        values = np.asarray(values)
        rows, columns = values.shape if values.ndim == 2 else (1, len(values))
        size = rows * (columns + padding)
        self.raw = np.full(offset + size + 19, np.nan, dtype)
        inside = np.zeros(len(self.raw), bool)
        inside[offset : offset + size].reshape(rows, columns + padding)[:, :columns] = True
        self.outside = ~inside
        self.array = self.raw[offset : offset + size].reshape(rows, columns + padding)[:, :columns]
        if values.ndim == 1:
            self.array = self.array[0]
        self.array[...] = values
        self.before = self.raw.copy()

    def assert_unchanged(self, what=""):
        assert_same_bits(self.raw, self.before, what)

    def assert_intact_outside(self, what=""):
        assert_same_bits(self.raw[self.outside], self.before[self.outside], f"{what}, outside the output")


# Patterns of weights that some kernel could get wrong.
PATTERNS = (
    "empty",
    "thin",
    "half",
    "full",
    "one heavy row",
    "one heavy column",
    "one weight",
    "last row only",
    "every other row",
)


def draw_mask(rng, K, D, pattern):
    """Where the weights are, as a boolean (K, D)."""
    mask = rng.random((K, D)) < {"thin": 0.1, "half": 0.5, "full": 2.0}.get(pattern, 0.0)
    match pattern:
        case "one heavy row":
            mask[rng.integers(K)] = True
        case "one heavy column":
            mask[:, rng.integers(D)] = True
        case "one weight":
            mask[rng.integers(K), rng.integers(D)] = True
        case "last row only":
            mask[-1, ::2] = True
        case "every other row":
            mask[::2] = rng.random(mask[::2].shape) < 0.7
    return mask


@dataclass(frozen=True)
class Problem:
    """The arrays of a sparse layer with K outputs, D inputs and a batch of N."""

    K: int
    D: int
    N: int
    pattern: str
    offset: int = 0
    padding: int = 0
    seed: int = 0

    def arrays(self, dtype):
        """W, the same weights dense, and the frames of X, DY and the bias."""
        rng = np.random.default_rng(self.seed)
        mask = draw_mask(rng, self.K, self.D, self.pattern)
        dense = np.where(mask, rng.uniform(0.1, 1, mask.shape) * rng.choice([-1, 1], mask.shape), 0).astype(dtype)
        X = Frame(rng.standard_normal((self.D, self.N)), dtype, self.offset, self.padding)
        DY = Frame(rng.standard_normal((self.K, self.N)), dtype, self.padding, self.offset)
        bias = Frame(rng.standard_normal(self.K), dtype, self.offset)
        return CSR.from_dense(dense), dense, X, DY, bias

    def out(self, *shape, dtype):
        """An output full of NaN."""
        return Frame(np.full(shape, np.nan), dtype, self.padding % 5, self.offset)


@dataclass
class Call:
    """A kernel with arguments that are right: what they are called, and which are written."""

    function: object
    arguments: dict
    outputs: tuple

    def __call__(self, **changed):
        return self.function(**(self.arguments | changed))

    def arrays(self):
        return {name: value for name, value in self.arguments.items() if isinstance(value, np.ndarray)}


def _restrided(array, factor):
    """The same values, `factor` apart along the last axis."""
    wide = np.zeros((*array.shape[:-1], array.shape[-1] * abs(factor)), array.dtype)
    view = wide[..., ::factor]
    view[...] = array
    return view


def _misaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def wrong_arrays(array):
    """(what is wrong, the wrong array, whether the error must name this argument) for a right array."""
    for dtype in (np.float16, np.int32, np.complex128, object, array.dtype.newbyteorder()):
        if np.dtype(dtype).str != array.dtype.str:
            yield f"dtype {np.dtype(dtype).str}", array.astype(dtype), True
    if array.dtype.kind == "f":
        yield "the other precision", array.astype(np.float64 if array.dtype == np.float32 else np.float32), False
    yield "a list", array.tolist(), True
    yield "no array", None, True
    yield "a scalar", array.reshape(-1)[0], True
    yield "one more axis", array[None], True
    yield "one axis less", array[0], True
    for axis in range(array.ndim):
        yield f"longer along axis {axis}", np.concatenate([array, array], axis), False
        yield f"shorter along axis {axis}", np.ascontiguousarray(np.delete(array, 0, axis)), False
    yield "every second element", _restrided(array, 2), True
    yield "backwards", _restrided(array, -1), True
    if array.itemsize > 1:
        yield "not aligned", _misaligned(array), True
    if array.ndim == 2:
        yield "transposed", np.asfortranarray(array), True
        yield "rows backwards", array[::-1], True
        yield "rows on each other", np.broadcast_to(array[0], array.shape), True
        yield "columns on each other", np.broadcast_to(array[:, :1], array.shape), True


def assert_refuses_wrong_arrays(call, optional=(), any_type=(), any_shape=()):
    """Each argument spoiled in each way raises an error that names it, and nothing is written.

    `optional` arguments may be None, `any_type` ones have several dtypes, `any_shape` ones (2-D) free dimensions.
    """
    wrong = []
    for name, right in call.arrays().items():
        spoiled = list(wrong_arrays(right))
        if name in call.outputs:
            read_only = right.copy()
            read_only.flags.writeable = False
            spoiled.append(("read-only", read_only, True))
        for what, bad, named in spoiled:
            if (bad is None and name in optional) or (not named and name in any_type and "precision" in what):
                continue
            if name in any_shape and what.endswith(any_shape[name]):
                continue
            outputs = {output: bad if output == name else call.arguments[output].copy() for output in call.outputs}
            before = {output: np.array(array) for output, array in outputs.items()}
            names = name if named else "|".join(call.arrays())
            try:
                call(**{name: bad} | outputs)
            except (TypeError, ValueError) as error:
                if not re.match(rf"({names})\b", str(error)):
                    wrong.append(f"{name}, {what}: the error does not name it: {error}")
            except Exception as error:
                wrong.append(f"{name}, {what}: {type(error).__name__}: {error}")
            else:
                wrong.append(f"{name}, {what}: accepted")
            for output, array in outputs.items():
                if not np.array_equal(before[output], np.array(array), equal_nan=before[output].dtype.kind == "f"):
                    wrong.append(f"{name}, {what}: {output} was written")
    assert not wrong, "\n".join(wrong)


# ---- sparse samples, as awkward as they come
def draw_sparse_samples(rng, n, features, kind="mixed", dtype=np.float64):
    """CSR data of n samples, and the same dense in float64: unsorted, with repeats, explicit zeros and empty rows."""
    lengths = {
        "mixed": rng.integers(0, 9, n) * (rng.random(n) < 0.8),
        "empty": np.zeros(n, int),
        "one-hot": np.ones(n, int),
        "one heavy sample": np.where(np.arange(n) == n // 2, 3 * features, 1),
        "one heavy feature": np.full(n, 3),
    }[kind]
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    indices = rng.integers(0, features, indptr[-1])
    if kind == "one heavy feature":
        indices[::3] = features - 1
    data = rng.standard_normal(indptr[-1]) * (rng.random(indptr[-1]) < 0.9)
    if np.dtype(dtype).kind != "f":
        data = rng.integers(0, 5, indptr[-1])
    data = data.astype(dtype)
    dense = np.zeros((n, features))
    np.add.at(dense, (np.repeat(np.arange(n), lengths), indices), data.astype(np.float64))
    return sparse.csr_array((data, indices.astype(np.int32), indptr), shape=(n, features)), dense


def as_sparse_batch(X, dtype, rows=None):
    """All samples of CSR data, or some, as a SparseBatch."""
    batch = SparseBatch(X.shape[1], dtype)
    rows = np.arange(X.shape[0]) if rows is None else np.asarray(rows)
    batch.gather(X.indptr.astype(np.int64), X.indices, X.data, rows)
    return batch


# ---- made-up costs
def made_up(*, native=1.0, mkl=3.0, dense=3.0):
    """Costs of so many hundredths of a nanosecond for a unit of work by each backend."""
    factors = {"native": native, "mkl": mkl, "dense": dense}
    return Costs(
        {
            direction: {backend: [[factors[backend] * 1e-11] * len(BATCHES) for _ in DENSITIES] for backend in backends}
            for direction, backends in CANDIDATES.items()
        }
    )


# By weight and sample: a gemm twice as fast as own kernels, and the same of MKL's sparse products.
FAST_DENSE = made_up(dense=0.5)
FAST_MKL = made_up(mkl=0.5)
