# Nothing for Python: compiled modules cimport what mkl_handles.pxd declares.
