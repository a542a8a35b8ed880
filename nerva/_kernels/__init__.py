"""The compiled floor: arrays, strides and pointers. It knows no layer and no model, and imports nothing from above.

The contract of every kernel:

* A matrix of activations is a 2-D array of shape (features, batch), float32 or float64, with unit stride along the
  batch and any stride of at least the batch from row to row. `memory.empty_batch` allocates the fastest ones: 64-byte
  aligned, with rows padded to 64 bytes.
* A weight matrix W has shape (K, D): K outputs, D inputs. `CSR` stores it with int32 indices and sorted rows.
* The real arrays of a call have one dtype. Inputs come first and are not written; outputs come after them and are
  written in place. An output may overlap an input only where the docstring says so. Kernels of layers, losses and
  optimizers allocate nothing; those of `communities` do, and `rewiring`, `selection`,
  `supports` and `dense_gradient` return new arrays.
* Wrong arguments raise TypeError (dtype) or ValueError (shape, stride, range) that names the argument, before anything
  is written. The GIL is released while a kernel runs.
* Results do not depend on the number of threads, except those of MKL's products.
* Subnormal numbers are flushed to zero inside the kernels.

The ladder of imports, lowest rung first; a module imports from lower rungs only:

1. cores, isa, mkl, pages
2. memory
3. ages, arrays, conversion, mkl_handles, partition, pattern, supports
4. activations, batches, csr, dropout, losses, normalization, selection, softmax, sparse_batch, updates
5. communities, dense, operations, program, rewiring, sparse_inputs
6. chain, dense_gradient, products, workspace
7. plan

`arrays` is a header (.pxd) alone. The C sources are in native/: table.h lists their functions, and isa.pyx chooses the
table of an instruction set at import.
"""
