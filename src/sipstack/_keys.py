"""The identities of messages: the transaction (RFC 3261 17.1.3, 17.2.3) and the dialog (12) that one belongs to.

All of it is said here. The compiled core makes the same of what nearly every sender writes (`_keys.pxi`), and comes
here with the rest.
"""

from typing import TYPE_CHECKING, Final, TypeVar

from ._limits import default_port
from ._values import canonical_host, lower, need_str
from .errors import HeaderError
from .headers import MAGIC_COOKIE, Via
from .methods import ACK, INVITE

if TYPE_CHECKING:
    from ._parser_py import Message

_COOKIE: Final = lower(MAGIC_COOKIE)
_Value = TypeVar("_Value")


def need(value: _Value | None, header: str) -> _Value:
    """What a message has under this name; HeaderError where it has none."""
    if value is None:
        raise HeaderError("missing", header)
    return value


def transaction_key(message: "Message", method: str | None) -> str:
    """See `Message.transaction_key`."""
    via = message.need_via
    branch = lower(via.branch or "")
    if method is None:
        method = message.method or message.need_cseq.method
    name = need_str(method, "method")
    key = f"{branch} {_sent_by(via)} {INVITE if name == ACK else name}"
    # The cookie alone is a branch that is the same in every request (RFC 4475 3.2.1).
    if branch.startswith(_COOKIE) and branch != _COOKIE:
        return key
    number, tag = message.need_cseq.num, message.need_from.tag
    return f"{key} {number} {lower(tag or '')} {message.need_call_id}"


def _sent_by(via: Via) -> str:
    """What equal sent-bys share: the port is written out."""
    return f"{canonical_host(via.host)}:{via.port or default_port(via.transport)}"


def dialog_id(message: "Message", sent: bool) -> str | None:
    """See `Message.dialog_id`."""
    to_tag = message.need_to.tag
    if to_tag is None:
        return None
    from_tag = message.need_from.tag or ""  # RFC 2543 had none: 12.1.1 calls that null
    local, remote = (to_tag, from_tag) if message.is_request != sent else (from_tag, to_tag)
    return f"{message.need_call_id} {lower(local)} {lower(remote)}"
