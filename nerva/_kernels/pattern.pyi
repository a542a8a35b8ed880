# Nothing for Python: compiled modules cimport what pattern.pxd declares.
