"""The words of SIP: methods, status codes with their reason phrases, and header names (IANA's registries)."""

from typing import Final

ACK: Final = "ACK"
BYE: Final = "BYE"
CANCEL: Final = "CANCEL"
INFO: Final = "INFO"
INVITE: Final = "INVITE"
MESSAGE: Final = "MESSAGE"
NOTIFY: Final = "NOTIFY"
OPTIONS: Final = "OPTIONS"
PRACK: Final = "PRACK"
PUBLISH: Final = "PUBLISH"
REFER: Final = "REFER"
REGISTER: Final = "REGISTER"
SUBSCRIBE: Final = "SUBSCRIBE"
UPDATE: Final = "UPDATE"

METHODS: Final[tuple[str, ...]] = (
    INVITE, ACK, BYE, CANCEL, OPTIONS, REGISTER, PRACK, UPDATE, INFO, SUBSCRIBE, NOTIFY, REFER, MESSAGE, PUBLISH,
)  # fmt: skip
"""Every method in IANA's registry, the most frequent first."""

URI_SCHEMES: Final = ("sip", "sips", "tel")
"""The schemes of a Request-URI that are served, where nobody says others."""

REASON_PHRASES: Final[dict[int, str]] = {
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress",
    199: "Early Dialog Terminated",
    200: "OK", 202: "Accepted", 204: "No Notification",
    300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily", 305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout",
    410: "Gone", 412: "Conditional Request Failed", 413: "Request Entity Too Large", 414: "Request-URI Too Long",
    415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 417: "Unknown Resource-Priority",
    420: "Bad Extension", 421: "Extension Required", 422: "Session Interval Too Small", 423: "Interval Too Brief",
    424: "Bad Location Information", 425: "Bad Alert Message", 428: "Use Identity Header",
    429: "Provide Referrer Identity", 430: "Flow Failed", 433: "Anonymity Disallowed", 436: "Bad Identity Info",
    437: "Unsupported Credential", 438: "Invalid Identity Header", 439: "First Hop Lacks Outbound Support",
    440: "Max-Breadth Exceeded", 469: "Bad Info Package", 470: "Consent Needed", 480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops", 484: "Address Incomplete",
    485: "Ambiguous", 486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 489: "Bad Event",
    491: "Request Pending", 493: "Undecipherable", 494: "Security Agreement Required",
    500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Server Time-out", 505: "Version Not Supported", 513: "Message Too Large",
    555: "Push Notification Service Not Supported", 580: "Precondition Failure",
    600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable", 607: "Unwanted",
    608: "Rejected",
}  # fmt: skip
"""Status code to reason phrase. A code that is not here has the phrase of its class's x00 code, or "Unknown"."""

COMPACT_FORMS: Final[dict[str, str]] = {
    "a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "d": "Request-Disposition",
    "e": "Content-Encoding", "f": "From", "i": "Call-ID", "j": "Reject-Contact", "k": "Supported",
    "l": "Content-Length", "m": "Contact", "n": "Identity-Info", "o": "Event", "r": "Refer-To", "s": "Subject",
    "t": "To", "u": "Allow-Events", "v": "Via", "x": "Session-Expires", "y": "Identity",
}  # fmt: skip
"""Compact form (lower case) to the header's long name."""

# A header's place here is its id. The first ones, up to Require, are those the parsers themselves look at: the compiled
# one has their ids as constants (_names.h), and does not import where one has another place. The others are sorted.
HEADER_NAMES: Final[tuple[str, ...]] = (
    "",  # id 0: a name that is not in this list
    "Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length", "Contact", "Route", "Record-Route",
    "Content-Type", "RAck", "Timestamp", "Require",
    "Accept", "Accept-Contact", "Accept-Encoding", "Accept-Language", "Accept-Resource-Priority",
    "Additional-Identity", "Alert-Info", "Allow", "Allow-Events", "Answer-Mode", "Authentication-Info",
    "Authorization", "Call-Info", "Cellular-Network-Info", "Content-Disposition", "Content-Encoding",
    "Content-Language", "DC-Info", "Date", "Diversion", "Encryption", "Error-Info", "Event", "Expires",
    "Feature-Caps", "Flow-Timer", "Geolocation", "Geolocation-Error", "Geolocation-Routing", "Hide", "History-Info",
    "Identity", "Identity-Info", "In-Reply-To", "Info-Package", "Join", "MIME-Version", "Max-Breadth",
    "Min-Expires", "Min-SE", "Organization", "Origination-Id", "P-Access-Network-Info", "P-Answer-State",
    "P-Asserted-Identity", "P-Asserted-Service", "P-Associated-URI", "P-Called-Party-ID", "P-Charge-Info",
    "P-Charging-Function-Addresses", "P-Charging-Vector", "P-DCS-Billing-Info", "P-DCS-LAES", "P-DCS-OSPS",
    "P-DCS-Redirect", "P-DCS-Trace-Party-ID", "P-Early-Media", "P-Media-Authorization", "P-Preferred-Identity",
    "P-Preferred-Service", "P-Private-Network-Indication", "P-Profile-Key", "P-Refused-URI-List", "P-Served-User",
    "P-User-Database", "P-Visited-Network-ID", "Path", "Permission-Missing", "Policy-Contact", "Policy-ID",
    "Priority", "Priority-Share", "Priority-Verstat", "Priv-Answer-Mode", "Privacy", "Proxy-Authenticate",
    "Proxy-Authentication-Info", "Proxy-Authorization", "Proxy-Require", "RSeq", "Reason", "Reason-Phrase",
    "Recv-Info", "Refer-Events-At", "Refer-Sub", "Refer-To", "Referred-By", "Reject-Contact", "Relayed-Charge",
    "Remote-Party-ID", "Replaces", "Reply-To", "Request-Disposition", "Resource-Priority", "Resource-Share",
    "Response-Key", "Response-Source", "Restoration-Info", "Retry-After", "SIP-ETag", "SIP-If-Match",
    "Security-Client", "Security-Server", "Security-Verify", "Server", "Service-Interact-Info", "Service-Route",
    "Session-Expires", "Session-ID", "Status-Verstat", "Subject", "Subscription-State", "Supported",
    "Suppress-If-Match", "Target-Dialog", "Trigger-Consent", "Unsupported", "User-Agent", "User-to-User",
    "WWW-Authenticate", "Warning",
)  # fmt: skip
"""Every header name in IANA's registry, in its canonical spelling, and a few that are common without being there."""


def reason_phrase(status: int) -> str:
    """The reason phrase of a status code: its own, its class's x00 one, or "Unknown" (RFC 3261 21, 8.1.3.2)."""
    return REASON_PHRASES.get(status) or REASON_PHRASES.get(status // 100 * 100) or "Unknown"


_IDS: Final[dict[str, int]] = {
    **{name.lower(): number for number, name in enumerate(HEADER_NAMES) if name},
    **{short: HEADER_NAMES.index(long) for short, long in COMPACT_FORMS.items()},
}


def header_id(name: str) -> int:
    """A header name's id (its place in HEADER_NAMES), whatever its case and whether compact or long; 0 if unknown."""
    # str.lower turns a Kelvin sign into a k. Not name.lower(): another kind of str may have one of its own.
    return _IDS.get(str.lower(name), 0) if str.isascii(name) else 0


def canonical_name(name: str) -> str:
    """The long name in its usual spelling (`"v"` and `"VIA"` are `"Via"`); an unknown name as it is."""
    return HEADER_NAMES[header_id(name)] or name
