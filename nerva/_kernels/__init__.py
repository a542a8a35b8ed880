"""The compiled floor: arrays, strides and pointers; no layer, no model, nothing imported from the floors above.

The contract, for every function here:

* A matrix of activations is a 2-D array of shape (features, batch), float32 or float64, with unit stride along the
  batch; any stride of at least the batch from row to row. `memory.empty_batch` makes the fast ones: 64-byte aligned,
  rows padded to 64 bytes.
* A weight matrix W has shape (K, D): K outputs, D inputs. `CSR` holds it, with int32 indices, rows sorted.
* All arrays of one call have one dtype. Inputs come first and are not written, outputs come last and are written in
  place; nothing is allocated.
* Wrong arguments raise TypeError (dtype) or ValueError (shape, stride, range) that names the argument, before anything
  is written. The GIL is released while a kernel runs.
* Results do not depend on the number of threads, except those of MKL's products.
* Subnormal numbers are flushed to zero inside the kernels.

The ladder of imports: mkl, isa < csr, updates < products, growth; csr < sparse_inputs; isa < elementwise, losses,
batches; topology stands alone.
"""
