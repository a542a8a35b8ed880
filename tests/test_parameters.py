"""Parameters and their optimizer state: memory, and whose it is."""

import numpy as np

from nerva.parameters import Parameter


def test_a_parameter_takes_memory_when_it_is_asked_for(dtype):
    values = np.arange(7, dtype=dtype)
    parameter = Parameter("weight", values)
    assert parameter.values is values
    assert parameter.nbytes == 7 * dtype.itemsize
    gradient = parameter.gradient
    assert gradient.shape == (7,)
    assert gradient.dtype == dtype
    assert not gradient.any()
    assert parameter.gradient is gradient
    assert parameter.nbytes == 2 * 7 * dtype.itemsize
    parameter.claim(None, "first", "second")
    assert parameter.nbytes == 4 * 7 * dtype.itemsize


def test_state_belongs_to_the_last_who_claimed_it():
    parameter, one, other = Parameter("weight", np.zeros(3)), object(), object()
    state = parameter.claim(one, "momentum")
    state["momentum"][:] = 5
    assert parameter.claim(one, "momentum")["momentum"].tolist() == [5, 5, 5]
    assert parameter.claim(other, "momentum")["momentum"].tolist() == [0, 0, 0]
    assert parameter.claim(one, "momentum")["momentum"].tolist() == [0, 0, 0]
    assert parameter.owner is one
    assert set(parameter.claim(one, "momentum", "square")) == set(parameter.state) == {"momentum", "square"}
