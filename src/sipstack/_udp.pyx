# cython: language_level=3
"""Datagrams in batches: recvmmsg and sendmmsg, one call for many (Linux).

`Batch` has the interface of `_udp_py.Batch`, which does the same with one call a datagram and says what each method
promises. What is here is the part that costs: reading the kernel's answer into `(bytes, address)` pairs and
writing such pairs out, with no work for a peer that was seen a moment ago.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport Py_CLEAR, Py_INCREF, Py_XDECREF, PyObject
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from os import strerror

from ._address import PeerAddress, tells_local

cdef extern from "_count.h":
    ctypedef uint64_t sip_count

cdef extern from "<sys/socket.h>" nogil:
    enum: AF_INET, AF_INET6, MSG_DONTWAIT, MSG_TRUNC, MSG_NOSIGNAL, SOL_SOCKET, SO_ATTACH_FILTER
    struct iovec:
        void *iov_base
        size_t iov_len
    struct msghdr:
        void *msg_name
        unsigned int msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    int recvmmsg(int fd, mmsghdr *messages, unsigned int count, int flags, void *timeout)
    int sendmmsg(int fd, mmsghdr *messages, unsigned int count, int flags)
    int setsockopt(int fd, int level, int name, const void *value, unsigned int size)
    cmsghdr *CMSG_FIRSTHDR(msghdr *header)
    cmsghdr *CMSG_NXTHDR(msghdr *header, cmsghdr *control)
    unsigned char *CMSG_DATA(cmsghdr *control)
    size_t CMSG_LEN(size_t size)
    size_t CMSG_SPACE(size_t size)

cdef extern from "<netinet/in.h>" nogil:
    enum: IPPROTO_IP, IPPROTO_IPV6, IPPROTO_UDP, IP_PKTINFO, IPV6_PKTINFO
    struct in_addr:
        uint32_t s_addr
    struct in6_addr:
        unsigned char s6_addr[16]
    struct sockaddr_in:
        unsigned short sin_family
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        unsigned short sin6_family
        uint16_t sin6_port
        uint32_t sin6_flowinfo
        in6_addr sin6_addr
        uint32_t sin6_scope_id
    struct in_pktinfo:
        int ipi_ifindex
        in_addr ipi_spec_dst
    struct in6_pktinfo:
        in6_addr ipi6_addr
        unsigned int ipi6_ifindex
    uint16_t ntohs(uint16_t value)
    uint16_t htons(uint16_t value)

cdef extern from "<arpa/inet.h>" nogil:
    const char *inet_ntop(int family, const void *source, char *text, unsigned int size)
    int inet_pton(int family, const char *text, void *target)

cdef extern from "<net/if.h>" nogil:
    char *if_indextoname(unsigned int index, char *name)
    unsigned int if_nametoindex(const char *name)

cdef extern from "<linux/filter.h>" nogil:
    enum: BPF_RET, BPF_K
    struct sock_filter:
        uint16_t code
        unsigned char jt
        unsigned char jf
        uint32_t k
    struct sock_fprog:
        unsigned short len
        sock_filter *filter

ctypedef union Peer:
    sockaddr_in v4
    sockaddr_in6 v6

# One of our own addresses, to which a datagram came: an IPv4 one is written as mapped, all zeros is none that is known.
ctypedef struct Own:
    in6_addr address
    uint32_t zone

# A peer's address as the kernel writes it and as Python sees it. Both tables are direct-mapped: a new peer pushes out
# the one that stood in its place, so a flood of forged sources costs conversions and never memory.
ctypedef struct Known:
    Peer peer
    Own own
    PyObject *address

# What the header of a datagram points at besides its iovec, and the bytes object that is being sent.
ctypedef struct Slot:
    Peer peer
    PyObject *data

cdef enum:
    PLACES = 1024          # in each of the two tables; a power of two
    ZONE = 16              # IF_NAMESIZE
    TEXT = 64              # INET6_ADDRSTRLEN, '%' and a zone
    CONTROL = 128          # bytes for what is said beside a datagram: one address needs 40, the size of a run 24
    UDP_SEGMENT = 103      # since Linux 4.18; older headers lack it
    RUN = 64               # datagrams in a run, UDP_MAX_SEGMENTS of Linux before 6.9
    RUN_BYTES = 65_000     # it passes through the kernel as one datagram

cdef const unsigned char *MAPPED = b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff"


cdef inline size_t peer_place(const Peer *peer) noexcept nogil:
    cdef uint32_t mixed
    cdef const uint32_t *words
    if peer.v4.sin_family == AF_INET:
        mixed = peer.v4.sin_addr.s_addr * <uint32_t>2654435761u ^ peer.v4.sin_port * <uint32_t>40503u
    else:
        words = <const uint32_t *>&peer.v6.sin6_addr
        mixed = ((words[0] * 31u ^ words[1]) * 31u ^ words[2]) * 31u ^ words[3]
        mixed = mixed * <uint32_t>2654435761u ^ peer.v6.sin6_port * <uint32_t>40503u
    return (mixed ^ (mixed >> 16)) & (PLACES - 1)


cdef inline bint same_peer(const Peer *a, const Peer *b) noexcept nogil:
    if a.v4.sin_family != b.v4.sin_family or a.v4.sin_port != b.v4.sin_port:
        return False
    if a.v4.sin_family == AF_INET:
        return a.v4.sin_addr.s_addr == b.v4.sin_addr.s_addr
    return a.v6.sin6_scope_id == b.v6.sin6_scope_id and memcmp(&a.v6.sin6_addr, &b.v6.sin6_addr, 16) == 0


cdef inline bint is_mapped(const in6_addr *address) noexcept nogil:
    return memcmp(address, MAPPED, 12) == 0


cdef inline bint same_own(const Own *a, const Own *b) noexcept nogil:
    return a.zone == b.zone and memcmp(&a.address, &b.address, 16) == 0


cdef void read_own(msghdr *header, Own *own) noexcept nogil:
    """Which of our addresses a datagram came to. A group's is none that an answer could leave from."""
    cdef cmsghdr *control = CMSG_FIRSTHDR(header)
    cdef in6_pktinfo *six
    memset(own, 0, sizeof(Own))
    while control != NULL:
        if control.cmsg_level == IPPROTO_IP and control.cmsg_type == IP_PKTINFO:
            # The address that the kernel would answer from: for a broadcast, that of the interface.
            memcpy(&own.address, MAPPED, 12)
            memcpy(<char *>&own.address + 12, &(<in_pktinfo *>CMSG_DATA(control)).ipi_spec_dst, 4)
            own.zone = 0
            return
        if control.cmsg_level == IPPROTO_IPV6 and control.cmsg_type == IPV6_PKTINFO:
            six = <in6_pktinfo *>CMSG_DATA(control)
            if six.ipi6_addr.s6_addr[0] != 0xFF:
                own.address = six.ipi6_addr
                own.zone = six.ipi6_ifindex if is_link_local(&six.ipi6_addr) else 0
        control = CMSG_NXTHDR(header, control)


cdef inline bint is_link_local(const in6_addr *address) noexcept nogil:
    return address.s6_addr[0] == 0xFE and address.s6_addr[1] & 0xC0 == 0x80


cdef bint is_known(const Own *own) noexcept nogil:
    """Whether it is an address; 0.0.0.0 and :: are none."""
    cdef const uint32_t *words = <const uint32_t *>&own.address
    return words[3] != 0 or words[0] != 0 or words[1] != 0


cdef tuple read_peer(const Peer *peer):
    """The `(host, port)` of a socket address: an IPv4 peer of a dual-stack socket is an IPv4 address."""
    cdef char text[TEXT]
    cdef char zone[ZONE]
    cdef str host
    if peer.v4.sin_family == AF_INET:
        inet_ntop(AF_INET, &peer.v4.sin_addr, text, TEXT)
        return text.decode("ascii"), ntohs(peer.v4.sin_port)
    if is_mapped(&peer.v6.sin6_addr):
        inet_ntop(AF_INET, <const char *>&peer.v6.sin6_addr + 12, text, TEXT)
        return text.decode("ascii"), ntohs(peer.v6.sin6_port)
    inet_ntop(AF_INET6, &peer.v6.sin6_addr, text, TEXT)
    host = text.decode("ascii")
    if peer.v6.sin6_scope_id:
        if if_indextoname(peer.v6.sin6_scope_id, zone) != NULL:
            host = f"{host}%{zone.decode('utf-8', 'surrogateescape')}"
        else:
            host = f"{host}%{peer.v6.sin6_scope_id}"
    return host, ntohs(peer.v6.sin6_port)


cdef bytes as_bytes(str host):
    """A host as the system takes it. Half a surrogate has no bytes: a NUL, with which it is none, stands for it."""
    try:
        return host.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return host.encode("utf-8", "replace").replace(b"?", b"\0")


cdef uint32_t read_zone(bytes zone) except? 0:
    """The number of an interface; 0 where there is none, or it has more than the 32 bits that the kernel takes."""
    cdef uint64_t number
    if b"\0" in zone:
        return 0
    if not zone.isdigit():
        return if_nametoindex(zone)
    number = int(zone) if len(zone) <= 10 else 0
    return <uint32_t>number if number < <uint64_t>1 << 32 else 0


cdef int write_peer(int family, object address, Peer *peer) except -1:
    """Fills a socket address for a socket of this family. ValueError or TypeError: no address it can send to."""
    cdef bytes text, host_bytes, zone
    cdef object host = address[0], port = address[1]
    if type(host) is not str or type(port) is not int:
        raise TypeError(f"an address is (host: str, port: int), not {address!r}")
    if not 0 < port < 65536:
        raise ValueError(f"port out of range 1..65535 in {address!r}")
    text = as_bytes(host)
    memset(peer, 0, sizeof(Peer))
    if family == AF_INET:
        peer.v4.sin_family = AF_INET
        peer.v4.sin_port = htons(<uint16_t>port)
        if b"\0" in text or inet_pton(AF_INET, text, &peer.v4.sin_addr) != 1:
            raise ValueError(f"not an IPv4 address: {host!r}")
        return 0
    peer.v6.sin6_family = AF_INET6
    peer.v6.sin6_port = htons(<uint16_t>port)
    host_bytes, _, zone = text.partition(b"%")
    if b"\0" in host_bytes:
        raise ValueError(f"not an IP address: {host!r}")
    if inet_pton(AF_INET6, host_bytes, &peer.v6.sin6_addr) == 1:
        if zone:
            peer.v6.sin6_scope_id = read_zone(zone)
            if peer.v6.sin6_scope_id == 0:
                raise ValueError(f"no such interface: {host!r}")
    elif not zone and inet_pton(AF_INET, text, <char *>&peer.v6.sin6_addr + 12) == 1:
        memcpy(&peer.v6.sin6_addr, MAPPED, 12)
    else:
        raise ValueError(f"not an IP address: {host!r}")
    return 0


cdef int write_own(int family, const Peer *peer, object local, Own *own) except -1:
    """Fills in the address to send from. ValueError or TypeError: none for a datagram to this peer."""
    cdef Peer mine
    write_peer(AF_INET6, local, &mine)
    own.address, own.zone = mine.v6.sin6_addr, mine.v6.sin6_scope_id
    if is_mapped(&own.address) != (family == AF_INET or is_mapped(&peer.v6.sin6_addr)):
        raise ValueError(f"not an address of the peer's family: {local[0]!r}")
    return 0


cdef void load_own(int family, const Own *own, msghdr *header, void *control) noexcept:
    """Has a datagram leave from this address of ours; from the one that the kernel takes, where none is known."""
    cdef cmsghdr *said = <cmsghdr *>control
    cdef in_pktinfo *four
    cdef in6_pktinfo *six
    if not is_known(own):
        header.msg_control, header.msg_controllen = NULL, 0
        return
    header.msg_control = control
    if family == AF_INET:
        header.msg_controllen = CMSG_SPACE(sizeof(in_pktinfo))
        said.cmsg_len, said.cmsg_level, said.cmsg_type = CMSG_LEN(sizeof(in_pktinfo)), IPPROTO_IP, IP_PKTINFO
        four = <in_pktinfo *>CMSG_DATA(said)
        memset(four, 0, sizeof(in_pktinfo))
        memcpy(&four.ipi_spec_dst, <const char *>&own.address + 12, 4)
    else:  # Linux takes a mapped address here too
        header.msg_controllen = CMSG_SPACE(sizeof(in6_pktinfo))
        said.cmsg_len, said.cmsg_level, said.cmsg_type = CMSG_LEN(sizeof(in6_pktinfo)), IPPROTO_IPV6, IPV6_PKTINFO
        six = <in6_pktinfo *>CMSG_DATA(said)
        six.ipi6_addr, six.ipi6_ifindex = own.address, own.zone


cdef void point(msghdr *header, Slot *slot, iovec *iov, unsigned int name_length) noexcept:
    header.msg_name, header.msg_namelen = &slot.peer, name_length
    header.msg_iov, header.msg_iovlen = iov, 1


cdef bint may_follow(const msghdr *a, const msghdr *b) noexcept nogil:
    """Whether b's datagram can be in one run with a's: of one size, to one peer, from one address."""
    return (a.msg_iov.iov_len == b.msg_iov.iov_len and same_peer(<const Peer *>a.msg_name, <const Peer *>b.msg_name)
            and a.msg_controllen == b.msg_controllen
            and (a.msg_controllen == 0 or memcmp(a.msg_control, b.msg_control, a.msg_controllen) == 0))


cdef void join(msghdr *run, int count, char *control) noexcept nogil:
    """Makes the header of the first of `count` datagrams that of them all; Linux cuts it up again (UDP_SEGMENT)."""
    cdef uint16_t size = <uint16_t>run.msg_iov.iov_len
    cdef cmsghdr *said = <cmsghdr *>(control + run.msg_controllen)
    if run.msg_controllen:
        memcpy(control, run.msg_control, run.msg_controllen)
    said.cmsg_len, said.cmsg_level, said.cmsg_type = CMSG_LEN(sizeof(size)), IPPROTO_UDP, UDP_SEGMENT
    memcpy(CMSG_DATA(said), &size, sizeof(size))
    run.msg_control = control
    run.msg_controllen += CMSG_SPACE(sizeof(size))
    run.msg_iovlen = count


cdef int push(int fd, mmsghdr *headers, int count, int *failure) noexcept nogil:
    """How many of the headers the socket took; `failure` is why it stopped short of all, or 0."""
    cdef int done = 0, took
    failure[0] = 0
    while done < count:
        took = sendmmsg(fd, headers + done, count - done, MSG_DONTWAIT | MSG_NOSIGNAL)
        if took <= 0:
            failure[0] = errno
            break
        done += took
    return done


cdef class Batch:
    """Receives and sends datagrams of one non-blocking UDP socket, up to `size` in a system call.

    The buffers are made once. Each method is called by one thread at a time; the interpreter is released for the system
    calls. A finalizer that runs in the middle of `send`, in the same thread, may call it too: it takes nothing then, as
    if the socket were full.
    """

    cdef readonly int size
    cdef readonly Py_ssize_t read_buf_size
    cdef readonly sip_count datagrams, bytes_received, truncated, sent, bytes_sent
    cdef public list cut
    cdef object _fileno
    cdef int _family, _failure
    cdef bint _many                # whether we have several addresses, and are told which of them a datagram came to
    cdef uint16_t _port
    cdef size_t _stride
    cdef char *_buffers
    cdef mmsghdr *_in
    cdef mmsghdr *_out
    cdef mmsghdr *_runs            # headers for runs, or NULL
    cdef iovec *_iovs              # for each slot in and each slot out; those of a run follow each other
    cdef Slot *_in_slots
    cdef Slot *_out_slots
    cdef char *_controls           # CONTROL bytes for each slot in, each slot out and each run, where they are needed
    cdef Known *_seen
    cdef Known *_reached
    cdef bint _is_sending

    def __cinit__(self, sock, int size, Py_ssize_t read_buf_size, bint gso=False):
        cdef int i, unset = 0
        if not 1 <= size <= 1024 or not 1 <= read_buf_size <= 65535:
            raise ValueError("size is 1 to 1024 and read_buf_size 1 to 65535")
        self._fileno = sock.fileno
        self._family = sock.family
        self.size, self.read_buf_size = size, read_buf_size
        self.cut = []
        # Not a multiple of the page, or the first bytes of all datagrams of a batch would fight for one cache set.
        self._stride = (<size_t>read_buf_size + 63) // 64 * 64 + 64 * 7
        self._buffers = <char *>calloc(size, self._stride)          # untouched pages cost no memory
        self._in = <mmsghdr *>calloc(size, sizeof(mmsghdr))
        self._out = <mmsghdr *>calloc(size, sizeof(mmsghdr))
        self._in_slots = <Slot *>calloc(size, sizeof(Slot))
        self._out_slots = <Slot *>calloc(size, sizeof(Slot))
        self._iovs = <iovec *>calloc(2 * size, sizeof(iovec))
        self._seen = <Known *>calloc(2 * PLACES, sizeof(Known))
        self._reached = self._seen + PLACES
        if not (self._buffers and self._in and self._out and self._iovs and self._in_slots and self._out_slots
                and self._seen):
            raise MemoryError
        self._many = tells_local(sock)
        if self._many:
            self._port = sock.getsockname()[1]
        if gso and setsockopt(self._fileno(), IPPROTO_UDP, UDP_SEGMENT, &unset, sizeof(unset)) == 0:  # it is known here
            self._runs = <mmsghdr *>calloc(size, sizeof(mmsghdr))
            if not self._runs:
                raise MemoryError
        if self._many or self._runs:
            self._controls = <char *>calloc(3 * size, CONTROL)
            if not self._controls:
                raise MemoryError
        for i in range(size):
            self._iovs[i].iov_base = self._buffers + i * self._stride
            self._iovs[i].iov_len = read_buf_size
            point(&self._in[i].msg_hdr, &self._in_slots[i], &self._iovs[i], sizeof(Peer))
            if self._many:
                self._in[i].msg_hdr.msg_control = self._controls + i * CONTROL
                self._in[i].msg_hdr.msg_controllen = CONTROL
            point(&self._out[i].msg_hdr, &self._out_slots[i], &self._iovs[size + i],
                  sizeof(sockaddr_in) if self._family == AF_INET else sizeof(sockaddr_in6))

    def __dealloc__(self):
        cdef int i
        for i in range(2 * PLACES if self._seen != NULL else 0):
            Py_XDECREF(self._seen[i].address)
        free(self._buffers)
        free(self._in)
        free(self._out)
        free(self._runs)
        free(self._iovs)
        free(self._in_slots)
        free(self._out_slots)
        free(self._controls)
        free(self._seen)

    cdef object _address(self, const Peer *peer, const Own *own):
        """The address of a peer, from the table where it stands there; `own` is NULL where we have one address."""
        cdef Known *known = &self._seen[peer_place(peer)]
        cdef object address
        if known.address != NULL and same_peer(&known.peer, peer) and (own == NULL or same_own(&known.own, own)):
            return <object>known.address
        address = read_peer(peer) if own == NULL or not is_known(own) else self._both(peer, own)
        cdef PyObject *old = known.address
        Py_INCREF(address)
        known.peer = peer[0]
        if own != NULL:
            known.own = own[0]
        known.address = <PyObject *>address
        Py_XDECREF(old)
        return address

    cdef object _both(self, const Peer *peer, const Own *own):
        """A PeerAddress, made without its own Python code: while that runs, a signal's may want to send."""
        cdef Peer mine
        memset(&mine, 0, sizeof(Peer))
        mine.v6.sin6_family, mine.v6.sin6_port = AF_INET6, htons(self._port)
        mine.v6.sin6_addr, mine.v6.sin6_scope_id = own.address, own.zone
        cdef object both = tuple.__new__(PeerAddress, read_peer(peer))
        both.__dict__["local"] = read_peer(&mine)
        return both

    cdef int _target(self, object address, int place) except -1:
        """The same the other way, found by the identity of the tuple: we keep the one a request came with."""
        cdef Peer *peer = &self._out_slots[place].peer
        cdef Own own
        cdef uintptr_t key = <uintptr_t><PyObject *>address
        cdef Known *known = &self._reached[((key >> 4) ^ (key >> 14)) & (PLACES - 1)]
        if known.address == <PyObject *>address:
            peer[0] = known.peer
            if self._many:
                self._leave_from(&known.own, place)
            return 0
        write_peer(self._family, address, peer)
        if self._many:
            memset(&own, 0, sizeof(Own))
            if type(address) is PeerAddress:
                write_own(self._family, peer, address.local, &own)
            self._leave_from(&own, place)
        if type(address) is tuple or type(address) is PeerAddress:
            Py_INCREF(address)
            Py_XDECREF(known.address)
            known.peer = peer[0]
            if self._many:
                known.own = own
            known.address = <PyObject *>address
        return 0

    cdef void _leave_from(self, const Own *own, int place) noexcept:
        load_own(self._family, own, &self._out[place].msg_hdr, self._controls + (self.size + place) * CONTROL)

    def receive(self):
        """The datagrams that wait in the socket, at most `size` of them."""
        cdef int fd = self._fileno(), got, i, failure
        cdef list batch = []
        cdef object address
        cdef bytes data
        cdef Own own
        with nogil:
            got = recvmmsg(fd, self._in, self.size, MSG_DONTWAIT, NULL)
            failure = errno
        if got < 0:
            if failure == EAGAIN or failure == EINTR:
                return batch
            raise OSError(failure, strerror(failure))
        for i in range(got):
            data = PyBytes_FromStringAndSize(<char *>self._iovs[i].iov_base, self._in[i].msg_len)
            if self._many:
                read_own(&self._in[i].msg_hdr, &own)
                self._in[i].msg_hdr.msg_controllen = CONTROL
            address = self._address(&self._in_slots[i].peer, &own if self._many else NULL)
            self.bytes_received += self._in[i].msg_len
            self._in[i].msg_hdr.msg_namelen = sizeof(Peer)
            if self._in[i].msg_hdr.msg_flags & MSG_TRUNC:
                self.truncated += 1
                self.cut.append((data, address))
            else:
                batch.append((data, address))
        self.datagrams += got
        return batch

    def send(self, list datagrams):
        """Sends datagrams as far as the socket takes them without waiting."""
        if self._is_sending:
            return 0, []
        self._is_sending = True
        try:
            return self._send(datagrams)
        finally:
            self._is_sending = False

    cdef tuple _send(self, list datagrams):
        cdef int count, done
        cdef Py_ssize_t at = 0, total = len(datagrams)
        cdef list failures = []
        while at < total:
            count = self._load(datagrams, at, total, failures)
            if count == 0:
                at += 1
                continue
            done = self._write(self._fileno(), count)  # asked now: what was loaded may have run code that closes it
            self._release(count)
            at += done
            if done < count:
                if self._failure == EAGAIN:
                    break
                if self._failure != EINTR:
                    failures.append((at, OSError(self._failure, strerror(self._failure))))
                    at += 1
        return at, failures

    cdef int _load(self, list datagrams, Py_ssize_t at, Py_ssize_t total, list failures) except -1:
        """Points the headers at the next datagrams, up to one that cannot be sent; 0 for the first."""
        cdef int count = 0
        cdef object datagram, data, address
        try:
            while count < self.size and at + count < total:
                datagram = datagrams[at + count]
                if not isinstance(datagram, tuple) or len(<tuple>datagram) != 2:
                    raise TypeError(f"a datagram is (data: bytes, address), not {datagram!r}")
                data, address = <tuple>datagram
                if type(data) is not bytes:
                    raise TypeError(f"a datagram is bytes, not {type(data).__name__}")
                self._target(address, count)
                Py_INCREF(data)
                self._out_slots[count].data = <PyObject *>data
                self._iovs[self.size + count].iov_base = PyBytes_AS_STRING(data)
                self._iovs[self.size + count].iov_len = PyBytes_GET_SIZE(data)
                count += 1
        except (ValueError, TypeError, LookupError, OverflowError) as error:
            if count == 0:
                failures.append((at, error))
        except BaseException:
            self._release(count)
            raise
        return count

    cdef int _write(self, int fd, int count) noexcept:
        """How many of the loaded datagrams the socket took; `_failure` says why it stopped short of all."""
        cdef int done, at
        with nogil:
            if self._runs == NULL:
                done = push(fd, self._out, count, &self._failure)
            else:
                done = self._push_runs(fd, count)
        self.sent += done
        for at in range(done):
            self.bytes_sent += self._iovs[self.size + at].iov_len
        return done

    cdef int _push_runs(self, int fd, int count) noexcept nogil:
        """The same, in runs. One that the system refuses as a run goes as its datagrams: over the MTU, no offload."""
        cdef int done = 0, runs, took, i, length
        while done < count:
            runs = self._find_runs(done, count)
            took = push(fd, self._runs, runs, &self._failure)
            for i in range(took):
                done += <int>self._runs[i].msg_hdr.msg_iovlen
            if took == runs:
                break
            length = <int>self._runs[took].msg_hdr.msg_iovlen
            if length == 1 or self._failure == EAGAIN or self._failure == EINTR:
                break
            took = push(fd, self._out + done, length, &self._failure)
            done += took
            if took < length:
                break
        return done

    cdef int _find_runs(self, int start, int count) noexcept nogil:
        """Fills in the headers for runs of the loaded datagrams from `start` on; returns how many headers it takes."""
        cdef int runs = 0, at = start, length
        cdef msghdr *first
        while at < count:
            first, length = &self._out[at].msg_hdr, 1
            while (at + length < count and length < RUN and 0 < first.msg_iov.iov_len * (length + 1) <= RUN_BYTES
                   and may_follow(first, &self._out[at + length].msg_hdr)):
                length += 1
            self._runs[runs] = self._out[at]
            if length > 1:
                join(&self._runs[runs].msg_hdr, length, self._controls + (2 * self.size + runs) * CONTROL)
            runs += 1
            at += length
        return runs

    cdef void _release(self, int count) noexcept:
        cdef int i
        for i in range(count):
            Py_CLEAR(self._out_slots[i].data)


def refuse_new(int fd):
    """Makes a socket take no more datagrams from the network; those that wait in it stay to be read."""
    cdef sock_filter drop_all
    cdef sock_fprog program
    drop_all.code, drop_all.jt, drop_all.jf, drop_all.k = BPF_RET | BPF_K, 0, 0, 0
    program.len, program.filter = 1, &drop_all
    if setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)):
        raise OSError(errno, strerror(errno))
