# Functions that threads share. One that Cython makes has a count of references which every thread that calls it
# writes: where there is no GIL, two threads in a loop of `parse` wait for each other at that word alone. Those that
# Python makes itself from a module's table are not counted there. So they are made once more, by Python.

cdef extern from "Python.h":
    int PyModule_AddFunctions(object module, PyMethodDef *functions) except -1

cdef enum:
    MOST_FUNCTIONS = 32

cdef PyMethodDef[MOST_FUNCTIONS + 1] SHARED  # one without a name ends them


cdef int share_functions() except -1:
    cdef int count = 0
    for function in tuple(globals().values()):
        if type(function) is type(len) and function.__module__ == __name__:
            if count == MOST_FUNCTIONS:
                raise ImportError("there are more functions than MOST_FUNCTIONS")
            SHARED[count] = (<PyCFunctionObject *><PyObject *>function).m_ml[0]
            count += 1
    return PyModule_AddFunctions(modules[__name__], SHARED)


share_functions()
