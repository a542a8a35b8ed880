"""Optimizer steps on vectors: the values of sparse weights, dense weights or biases."""

cimport numpy as cnp
from libc.stdint cimport int32_t
from libc.string cimport memset

from .arrays cimport apart, real_type, row, vector
from .isa cimport (
    NERVA_ADAM, NERVA_ADAMW, NERVA_LION, NERVA_MOMENTUM, NERVA_NESTEROV, NERVA_RMSPROP, NERVA_SGD, kernels,
    nerva_plan_parameter, nerva_table,
)
from .mkl cimport threads

from .ages import corrections

cnp.import_array()

RULES = {
    "sgd": NERVA_SGD,
    "momentum": NERVA_MOMENTUM,
    "nesterov": NERVA_NESTEROV,
    "rmsprop": NERVA_RMSPROP,
    "adam": NERVA_ADAM,
    "adamw": NERVA_ADAMW,
    "lion": NERVA_LION,
}


cdef class Update:
    """One step of an optimizer on weights w with gradients g, where d = g + decay w, v a velocity, s a second moment:

    "sgd"       w -= rate d
    "momentum"  v = momentum v + d;  w -= rate v
    "nesterov"  v = momentum v + d;  w -= rate (d + momentum v)
    "rmsprop"   s = second s + (1 - second) d^2;  q = d / (sqrt(s) + epsilon);  w -= rate q, or with a momentum
                v = momentum v + q;  w -= rate v
    "adam"      v = momentum v + (1 - momentum) d;  s = second s + (1 - second) d^2;  in step t
                w -= rate v / (1 - momentum^t) / (sqrt(s / (1 - second^t)) + epsilon)
    "adamw"     w -= rate decay w;  then as "adam" with d = g
    "lion"      w -= rate (sign(momentum v + (1 - momentum) g) + decay w);  v = second v + (1 - second) g

    With a `clip` above 0, g is clipped to +-clip first.
    """

    def __init__(self, str rule, double rate, double momentum=0.0, double decay=0.0, *, double second=0.0,
                 double epsilon=0.0, int t=1, double clip=0.0):
        if rule not in RULES:
            raise ValueError(f"rule is {rule!r}; it must be one of {', '.join(RULES)}")
        if t < 1:
            raise ValueError(f"t is {t}; steps count from 1")
        self.how.rule, self.how.rate, self.how.momentum, self.how.decay = RULES[rule], rate, momentum, decay
        self.how.second, self.how.epsilon, self.how.root, self.how.clip = second, epsilon, 1.0, clip
        self.how.shrink = rate * decay
        self.rate, self.t = rate, t
        if self.has_ages:
            self.how.rate = rate / (1.0 - momentum**t)
            self.how.root = 1.0 / (1.0 - second**t) ** 0.5

    @property
    def has_velocity(self):
        """Whether the rule uses a velocity for each weight."""
        return self.how.rule != NERVA_SGD and (self.how.rule != NERVA_RMSPROP or self.how.momentum > 0)

    @property
    def has_second(self):
        """Whether the rule uses a second moment for each weight."""
        return NERVA_RMSPROP <= self.how.rule <= NERVA_ADAMW

    @property
    def has_ages(self):
        """Whether the rule depends on how many steps a weight has taken."""
        return self.how.rule == NERVA_ADAM or self.how.rule == NERVA_ADAMW

    cdef object take(self, nerva_plan_parameter *of, object velocity, object second, object born, int typenum):
        """Set the rule of a vector of of.size weights, and what it keeps of each, checked; as of a call.

        Returns what must be held as long as `of` is used, beside the arguments.
        """
        cdef Py_ssize_t n = of.size
        of.update, of.velocity, of.second, of.ages.born = &self.how, NULL, NULL, NULL
        if self.has_velocity:
            of.velocity = vector(velocity, "velocity", typenum, n, True)
        if self.has_second:
            of.second = vector(second, "second", typenum, n, True)
        if born is None or not self.has_ages:
            return None
        of.ages.born = <int32_t *> vector(born, "born", cnp.NPY_INT32, n)
        table = corrections(self.how.momentum, self.how.second, self.t, cnp.PyArray_DescrFromType(typenum))
        of.ages.corrections, of.ages.oldest = cnp.PyArray_DATA(table), len(table) - 1
        of.ages.t, of.ages.rate = self.t, self.rate
        return self, table

    def __call__(self, gradient, velocity, weights, second=None, born=None):
        """Update the weights. Shapes: gradient, velocity, second, weights (n,); None for what the rule does not use.

        born : int32 (n,), the steps that were taken before each weight, whose own t is less by that; None for zeros
        """
        cdef int typenum = real_type(weights, "weights")
        cdef Py_ssize_t n = weights.size
        cdef nerva_plan_parameter of
        memset(&of, 0, sizeof(of))
        of.size, of.values = n, vector(weights, "weights", typenum, n, True)
        _held = self.take(&of, velocity, second, born, typenum)
        cdef void *g = vector(gradient, "gradient", typenum, n)
        cdef const nerva_table *kernel = kernels(typenum)
        apart(row(g, n), 1, n, "gradient", row(of.values, n), 1, n, "weights", typenum)
        apart(row(g, n), 1, n, "gradient", row(of.velocity, n), 1, n, "velocity", typenum)
        apart(row(of.velocity, n), 1, n, "velocity", row(of.values, n), 1, n, "weights", typenum)
        apart(row(g, n), 1, n, "gradient", row(of.second, n), 1, n, "second", typenum)
        apart(row(of.second, n), 1, n, "second", row(of.values, n), 1, n, "weights", typenum)
        apart(row(of.velocity, n), 1, n, "velocity", row(of.second, n), 1, n, "second", typenum)
        with nogil:
            kernel.update(&of, g, threads())
