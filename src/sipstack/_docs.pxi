# Docstrings: `_parser_py` and `_forwarding` have them, once for both. setup.py writes them into _docs.h, and they are
# set here when the module is imported, as numpy sets those of its C functions: `help(sipstack.Message)` says the same
# in both builds.

cdef extern from "_docs.h":
    const char *sip_docs[][2]  # name and docstring; NULL ends them

cdef extern from "Python.h":
    ctypedef int (*setter)(PyObject *message, PyObject *value, void *closure) noexcept
    ctypedef struct PyGetSetDef:
        setter set
        const char *doc
        void *closure
    ctypedef struct PyMethodDef:
        const char *ml_doc
    ctypedef struct PyGetSetDescrObject:
        PyGetSetDef *d_getset
    ctypedef struct PyMethodDescrObject:
        PyMethodDef *d_method
    ctypedef struct PyCFunctionObject:
        PyMethodDef *m_ml
    ctypedef struct PyTypeWithDoc "PyTypeObject":
        const char *tp_doc

cdef list DOCSTRINGS = []  # what the C structures point at
cdef dict FUNCTIONS = {
    "parse": parse, "take_routes": take_routes,
    "forward_request": forward_request, "forward_response": forward_response,
}


cdef const char *with_signature(const char *old, const char *text):
    """A docstring behind the signature that a function has in front of its own."""
    cdef bytes whole, mark = b"\n--\n\n"
    whole = (b"" if old == NULL else <bytes>old).partition(mark)[0] + mark + <bytes>text
    DOCSTRINGS.append(whole)
    return whole


cdef int refuse_set(PyObject *message, PyObject *value, void *text) noexcept:
    PyErr_SetString(<PyObject *>AttributeError, <const char *>text)
    return -1


cdef int refuse_sets() except -1:
    """Have what cannot be set say what to do instead. The getters that Cython makes use no closure."""
    cdef object member
    cdef bytes kept_text
    cdef PyGetSetDef *entry
    for name, text in INSTEAD.items():
        member = Message.__dict__[name]
        entry = (<PyGetSetDescrObject *><PyObject *>member).d_getset
        kept_text = text.encode()
        DOCSTRINGS.append(kept_text)
        entry.set, entry.closure = refuse_set, PyBytes_AS_STRING(kept_text)
    return 0


cdef int describe() except -1:
    cdef int at = 0
    cdef object member
    cdef PyMethodDef *method
    while sip_docs[at][0] != NULL:
        name, text = (<bytes>sip_docs[at][0]).decode(), sip_docs[at][1]
        at += 1
        if name == "Message":
            (<PyTypeWithDoc *><PyObject *>Message).tp_doc = text
            continue
        member = FUNCTIONS.get(name) or Message.__dict__[name]
        if type(member).__name__ == "getset_descriptor":
            (<PyGetSetDescrObject *><PyObject *>member).d_getset.doc = text
            continue
        if name in FUNCTIONS:
            method = (<PyCFunctionObject *><PyObject *>member).m_ml
        else:
            method = (<PyMethodDescrObject *><PyObject *>member).d_method
        method.ml_doc = with_signature(method.ml_doc, text)
    return 0


describe()
refuse_sets()
