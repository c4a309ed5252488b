/* Where the slots of the value classes lie that the compiled core makes instances of.
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

#endif
