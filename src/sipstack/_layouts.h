/* Where the slots of the classes lie that the compiled core makes instances of, or reads.
 *
 * CPython puts __slots__ behind the head of an object, sorted by name. Filling them in place takes a tenth of the
 * time that object.__setattr__ takes, and they stay ordinary slots, which Python reads fastest. When the module is
 * imported it makes one of each and compares it with what the class itself reads (check_layouts in _values.pxi): a
 * wrong line here is an ImportError.
 */
#ifndef SIPSTACK_LAYOUTS_H
#define SIPSTACK_LAYOUTS_H

typedef struct {
    PyObject_HEAD
    PyObject *_params, *branch, *host, *maddr, *port, *protocol, *received, *rport, *transport, *ttl;
} sip_via_object;

typedef struct {
    PyObject_HEAD
    PyObject *_headers, *_params, *host, *password, *port, *scheme, *user;
} sip_uri_object;

typedef struct {
    PyObject_HEAD
    PyObject *_host, *_params, *number;
} sip_tel_object;

typedef struct {
    PyObject_HEAD
    PyObject *_params, *display_name, *tag, *uri;
} sip_address_object;

typedef struct {
    PyObject_HEAD
    PyObject *method, *num;
} sip_cseq_object;

/* This one is read alone: an attribute costs 150 instructions, and a request that is forwarded asks for five. */
typedef struct {
    PyObject_HEAD
    PyObject *_at, *_key, *_legs, *_name, *_named, *_names, *_own, *_routes, *aliases, *listeners;
} sip_node_object;

/* Making and freeing such a value, without what Python does for a class that may have anything: 2140 instructions less
 * of 17090 for an INVITE and seven values of it. PyType_GenericAlloc clears the slots and has the cycle collector
 * follow the value, which holds text, numbers and other such values, and is held by none of them. subtype_dealloc looks
 * for weak references, a dictionary and slots of other kinds. Where there is no GIL, a class counts its instances in a
 * way of its own, and all is left to Python. */
#ifndef Py_GIL_DISABLED

static PyObject *sip_new_value(PyTypeObject *type) /* its slots are to be filled before Python runs */
{
    return (PyObject *)PyObject_GC_New(PyObject, type);
}

/* One of a derived class comes here last, when subtype_dealloc has freed what that class has. */
static void sip_free_value(PyObject *value)
{
    PyTypeObject *type = Py_TYPE(value), *declares = type;
    if (type->tp_finalize != NULL && PyObject_CallFinalizerFromDealloc(value) < 0) return; /* it lives again */
    while (declares->tp_dealloc != sip_free_value) declares = declares->tp_base;
    PyObject **slot = (PyObject **)(value + 1), **end = (PyObject **)((char *)value + declares->tp_basicsize);
    PyObject_GC_UnTrack(value);
    while (slot < end) Py_XDECREF(*slot++);
    type->tp_free(value);
    Py_DECREF(type);
}

static void sip_frees_values(PyTypeObject *type) { type->tp_dealloc = sip_free_value; }

#else
#define sip_new_value(type) PyType_GenericAlloc(type, 0)
#define sip_frees_values(type) (void)(type)
#endif

#endif
