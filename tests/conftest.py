"""What the tests of the compiled floor run on: each instruction set and number type, and no trace left behind."""

import os

import numpy as np
import pytest
from hypothesis import settings

from nerva._kernels import isa, mkl

# In CI the examples are the same in every run: what is red there is red here, with CI=true.
EXAMPLES = int(os.environ.get("NERVA_EXAMPLES", "40"))  # of each property
settings.register_profile("nerva", max_examples=EXAMPLES, deadline=None, database=None, derandomize="CI" in os.environ)
settings.load_profile("nerva")


@pytest.fixture(scope="module", params=isa.supported())
def instruction_set(request):
    """The instruction set in use: each that this processor has, one after the other."""
    before = isa.chosen()
    isa.choose(request.param)
    yield request.param
    isa.choose(before)


@pytest.fixture(scope="module", params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    """The number type, as a NumPy dtype."""
    return np.dtype(request.param)


@pytest.fixture(scope="session", autouse=True)
def _no_cache_of_the_user(tmp_path_factory):
    """Keep what is measured, here and in programs that tests start, out of the user's cache, and the cache out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NERVA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _same_number_of_threads():
    """Give the next test the number of threads this one found."""
    before = mkl.get_num_threads()
    yield
    mkl.set_num_threads(before)


@pytest.fixture
def rng():
    """A random generator with a fixed seed."""
    return np.random.default_rng(20240229)
