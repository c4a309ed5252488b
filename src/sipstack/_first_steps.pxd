# The types that `_first_steps_py.py` has when it is compiled as `_first_steps`.

cimport cython


@cython.final
cdef class FirstSteps:
    cdef object loop, waits_for, task, before, context, later
    cdef readonly object result

    cpdef bint take(self, coroutine) except -1
