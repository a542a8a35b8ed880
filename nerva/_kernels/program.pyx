"""The operations of a compiled network as C structs: where each reads and writes, and the parameters they train."""

import numpy as np

cimport numpy as cnp
from libc.stdlib cimport calloc, free

from .arrays cimport check_activation, matrix, vector
from .csr cimport CSR
from .isa cimport (
    NERVA_DROPOUT, NERVA_ELEMENTWISE, NERVA_IDENTITY, NERVA_LOG_SOFTMAX, NERVA_NORMALIZATION, NERVA_PRODUCT,
    NERVA_SIGMOID, NERVA_SOFTMAX, NERVA_STATISTICS, NERVA_TANH, NERVA_TRAINED, NERVA_TRELU, nerva_operation,
    nerva_plan_parameter,
)
from .pattern cimport FullPattern
from .updates cimport Update

from .arena import Matrices, gathers_again, place

cnp.import_array()

KINDS = {"product": NERVA_PRODUCT, "elementwise": NERVA_ELEMENTWISE, "trained": NERVA_TRAINED,
         "dropout": NERVA_DROPOUT, "statistics": NERVA_STATISTICS, "normalization": NERVA_NORMALIZATION,
         "softmax": NERVA_SOFTMAX, "log_softmax": NERVA_LOG_SOFTMAX}


cdef Py_ssize_t padded(Py_ssize_t n) noexcept:
    """n rounded up to 16: two cache lines of float64, one of float32."""
    return (n + 15) // 16 * 16


cdef class Program:
    """The operations of a network.

    Parameters
    ----------
    operations : of nerva._kernels.operations, in order; one must be a Product
    dtype : float32 or float64
    bfloat16 : whether a network of float32 stores activations and deltas in bfloat16
    sparse : whether the samples are sparse, which the first operation must be a product for

    Raises TypeError or ValueError where an operation does not fit.
    """

    def __cinit__(self, operations, dtype, *, bfloat16=False, sparse=False):
        self.operations = <nerva_operation *> calloc(len(operations), sizeof(nerva_operation))
        self.parameters = <nerva_plan_parameter *> calloc(2 * len(operations), sizeof(nerva_plan_parameter))
        if self.operations == NULL or self.parameters == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.operations)
        free(self.parameters)

    def __init__(self, operations, dtype, *, bfloat16=False, sparse=False):
        cdef Py_ssize_t i, rows
        self.dtype, self.descriptions = np.dtype(dtype), list(operations)
        self.typenum, self.count, self.bfloat16 = self.dtype.num, len(self.descriptions), bfloat16
        self.stored = 2 if bfloat16 else self.dtype.itemsize
        if bfloat16 and self.dtype != np.float32:
            raise TypeError(f"dtype is {self.dtype}; with bfloat16 it must be float32")
        self.weights, self.patterns, self.full = ([None] * self.count for _ in range(3))
        products = [operation.weight for operation in self.descriptions if operation.kind == "product"]
        if not products:
            raise ValueError("operations has no product; a network needs one")
        self.sparse = sparse
        if sparse and self.descriptions[0].kind != "product":
            raise ValueError(f"operations[0] is {self.descriptions[0].kind}; only a product takes sparse samples")
        for weight in products:
            check_weight(weight, self.dtype)
        _, rows = products[0].shape
        self.features = rows
        self.first_trained = -1
        for i, description in enumerate(self.descriptions):
            self.add(i, description, rows)
            rows = self.operations[i].rows
        if self.operations[self.count - 1].kind == NERVA_STATISTICS:
            raise ValueError("the last operation is statistics; statistics and a normalization go together")
        self.outputs = rows
        self.place_matrices()

    cdef int add(self, Py_ssize_t i, object description, Py_ssize_t rows) except -1:
        """Set what is known of operation i, whose inputs have so many rows, before the weights and the batch are."""
        cdef nerva_operation *of = self.operations + i
        of.kind, of.rows = KINDS[description.kind], rows
        if of.kind in (NERVA_PRODUCT, NERVA_ELEMENTWISE, NERVA_NORMALIZATION):
            of.activation, of.alpha = description.activation
            if not 0 <= of.activation <= <int> NERVA_TRELU:
                raise ValueError(f"operations[{i}] has no activation of code {of.activation}")
        if of.kind == NERVA_PRODUCT:
            check_activation(of.activation)
            of.rows, columns = description.weight.shape
            if columns != rows:
                raise ValueError(f"operations[{i}] has shape {description.weight.shape}; it must take {rows} features")
            if not isinstance(description.weight, CSR):
                self.full[i] = FullPattern(of.rows, rows)
            of.weight = self.add_parameter()
            of.bias = NULL if description.bias is None else self.add_parameter()
        if of.kind == NERVA_TRAINED:
            if description.parameters.size != 4 and description.parameters.size != 4 * rows:
                raise ValueError(f"operations[{i}] has {description.parameters.size} parameters for {rows} features")
            of.weight = self.add_parameter()
        if (of.kind == NERVA_NORMALIZATION) != (i > 0 and self.operations[i - 1].kind == NERVA_STATISTICS):
            raise ValueError(f"operations[{i}] is {description.kind}; statistics and a normalization go together")
        if of.kind == NERVA_NORMALIZATION:
            check_activation(of.activation)
            of.weight, of.bias = self.add_parameter(), self.add_parameter()
            of.statistics = self.statistics_size
            self.statistics_size += 4 * padded(rows)
        if of.weight != NULL and self.first_trained < 0:
            self.first_trained = i
        return 0

    cdef nerva_plan_parameter *add_parameter(self) noexcept:
        """The next vector of parameters."""
        self.parameter_count += 1
        return self.parameters + self.parameter_count - 1

    cdef int place_matrices(self) except -1:
        """Set where in an arena each operation writes its outputs and the gradient by them."""
        cdef Py_ssize_t i, features = 0 if self.sparse else self.features, widest = features
        # From the last product on, a network in bfloat16 has outputs and deltas of float32.
        cdef Py_ssize_t last = max(i for i in range(self.count) if self.operations[i].kind == NERVA_PRODUCT)
        cdef nerva_operation *of
        cdef nerva_operation *below
        for i in range(self.count):
            of, below = self.operations + i, NULL if i == 0 else self.operations + i - 1
            of.wide = self.bfloat16 and i >= last
            widest = max(widest, of.rows)
            if below != NULL and (below.kind == NERVA_PRODUCT or below.kind == NERVA_NORMALIZATION):
                adds_up = of.kind == NERVA_ELEMENTWISE or of.kind == NERVA_TRAINED
                below.settled = (of.kind in (NERVA_PRODUCT, NERVA_DROPOUT)
                                 or (adds_up and below.activation == <int> NERVA_IDENTITY))
        matrices = [self.matrices_of(i) for i in range(self.count)]
        again = gathers_again(features, self.weight_count())
        outputs, deltas, self.arena_rows, self.again = place(features, matrices, self.first_trained, again)
        for i in range(self.count):
            self.operations[i].output, self.operations[i].delta = outputs[i], deltas[i]
        if self.bfloat16:
            self.operations[last].rounded = self.arena_rows
            self.arena_rows += self.operations[last].rows
        self.scratch = 5 * padded(widest)
        return 0

    cdef object matrices_of(self, Py_ssize_t i):
        """What an arena needs to know of operation i."""
        cdef nerva_operation *of = self.operations + i
        cdef bint is_product = of.kind == NERVA_PRODUCT
        # In place, unless the operation below is differentiated from outputs that must be whole.
        whole = i > 0 and (self.operations[i - 1].activation in (NERVA_TANH, NERVA_SIGMOID)
                           or self.operations[i - 1].kind in (NERVA_SOFTMAX, NERVA_LOG_SOFTMAX))
        in_place = of.kind == NERVA_STATISTICS or (of.kind == NERVA_DROPOUT and not whole)
        unread = is_product and (of.settled or of.activation == <int> NERVA_IDENTITY)
        rows = 2 * of.rows if of.wide else of.rows  # a number of float32 takes the memory of two of bfloat16
        return Matrices(rows, is_product, in_place, not unread)

    # ---- for each step

    cdef Py_ssize_t weight_count(self) except -1:
        """The weights of all products, as they are now."""
        cdef Py_ssize_t count = 0
        for description in self.descriptions:
            if description.kind == "product":
                count += description.weight.nnz if isinstance(description.weight, CSR) else description.weight.size
        return count

    cdef int take_weights(self, bint training, bint fuse) except -1:
        """Set the pointers to parameters, and where their gradients begin, and draw the masks of a training step.

        With `fuse`, weights take their step where their gradient is complete.
        """
        cdef Py_ssize_t i
        cdef nerva_operation *of
        cdef nerva_plan_parameter *parameter
        self.masks = False
        for i, description in enumerate(self.descriptions):
            of = self.operations + i
            if of.kind == NERVA_PRODUCT:
                self.take_weight(i, description, training)
            elif of.kind == NERVA_TRAINED:
                parameter = <nerva_plan_parameter *> of.weight
                parameter.size = description.parameters.size
                parameter.values = vector(description.parameters, "parameters", self.typenum, parameter.size, True)
            elif of.kind == NERVA_NORMALIZATION:
                self.take_normalization(of, description)
            elif of.kind == NERVA_DROPOUT and training:
                of.key, of.rate = description.draw()
        self.place_gradients(fuse)
        return 0

    cdef int place_gradients(self, bint fuse) except -1:
        """Set where the gradients of the parameters begin in a vector, those of fused ones behind all others."""
        cdef Py_ssize_t i, end = 0
        cdef nerva_plan_parameter *parameter
        for i in range(self.parameter_count):
            self.parameters[i].fused = False
        for i in range(self.count):
            if self.operations[i].kind == NERVA_PRODUCT:
                parameter = <nerva_plan_parameter *> self.operations[i].weight
                # Not masked ones, whose gradients are masked first, nor those of sparse samples, which add up there.
                parameter.fused = fuse and parameter.masked == NULL and not (self.sparse and i == 0)
        for fused in (False, True):
            for i in range(self.parameter_count):
                if self.parameters[i].fused == fused:
                    self.parameters[i].gradient = end
                    end += padded(self.parameters[i].size)
            if not fused:
                self.updated_size = end
        self.gradient_size = end
        return 0

    cdef int take_weight(self, Py_ssize_t i, object description, bint training) except -1:
        """Set the pointers of a product to its weights and its bias; in training, to the masked weights if it drops."""
        cdef nerva_operation *of = self.operations + i
        cdef nerva_plan_parameter *weight = <nerva_plan_parameter *> of.weight
        cdef nerva_plan_parameter *bias = <nerva_plan_parameter *> of.bias
        cdef CSR W
        cdef FullPattern full
        values = description.weight
        weight.masked, weight.rate = NULL, 0
        if training and description.drop is not None:
            (weight.key, weight.rate), values = description.drop()
            self.masks = True
        self.weights[i] = values  # held, as pointers to it are
        if isinstance(values, CSR):
            W = values
            reads_columns = training and i > self.first_trained or self.sparse and i == 0
            of.W, of.transposed = &W.direct, W.companion() if reads_columns else NULL
            weight.size = W.nnz
            if description.drop is not None and training:
                weight.masked = cnp.PyArray_DATA(W._values)
            W = description.weight
            weight.values, self.patterns[i] = cnp.PyArray_DATA(W._values), W._indptr
        else:
            full = self.full[i]
            of.W, of.transposed = &full.direct, &full.transposed
            weight.size = of.W.nnz
            weight.values = matrix(description.weight, "weight", self.typenum, of.W.rows, of.W.cols, True).data
            full.take_values(weight.values)
            if description.drop is not None and training:
                weight.masked = matrix(values, "weight", self.typenum, of.W.rows, of.W.cols, True).data
                full.take_values(weight.masked)
        if bias != NULL:
            bias.size, bias.values = of.rows, vector(description.bias, "bias", self.typenum, of.rows, True)
        return 0

    cdef bint has_same_patterns(self) except -1:
        """Whether no weights were rewired since they were taken for a step."""
        cdef CSR W
        for description, pattern in zip(self.descriptions, self.patterns):
            if pattern is not None:
                W = description.weight
                if W._indptr is not pattern:
                    return False
        return True

    cdef int take_normalization(self, nerva_operation *of, object description) except -1:
        """Set the pointers of a normalization, and its settings."""
        cdef nerva_plan_parameter *gamma = <nerva_plan_parameter *> of.weight
        cdef nerva_plan_parameter *beta = <nerva_plan_parameter *> of.bias
        gamma.size = beta.size = of.rows
        gamma.values = vector(description.gamma, "gamma", self.typenum, of.rows, True)
        beta.values = vector(description.beta, "beta", self.typenum, of.rows, True)
        of.running_mean = vector(description.running_mean, "running_mean", self.typenum, of.rows, True)
        of.running_variance = vector(description.running_variance, "running_variance", self.typenum, of.rows, True)
        of.epsilon, of.momentum = description.settings()
        return 0

    cdef int take_updates(self, object updates) except -1:
        """Set the rules of the updates, and what they keep of each weight, of each vector of parameters."""
        cdef nerva_plan_parameter *of = self.parameters
        self.tables = []
        if len(updates) != self.parameter_count:
            raise ValueError(f"updates has {len(updates)} entries; there are {self.parameter_count} parameters")
        for rule, velocity, second, born in updates:
            if not isinstance(rule, Update):
                raise TypeError(f"updates holds {rule!r}; it must be an Update")
            self.tables.append((<Update> rule).take(of, velocity, second, born, self.typenum))
            of += 1
        return 0


cdef int check_weight(object weight, object dtype) except -1:
    """Raise TypeError or ValueError where a weight is no matrix of this dtype."""
    if not isinstance(weight, CSR):
        matrix(weight, "weight", dtype.num, -1, -1)
        if not weight.flags.c_contiguous:  # its pattern is that of values side by side
            raise ValueError(f"weight has strides {weight.strides}; it must be contiguous")
    elif weight.dtype != dtype:
        raise TypeError(f"weight has dtype {weight.dtype}; it must be {dtype}")
    return 0
