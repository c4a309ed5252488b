"""Server and User-Agent: what programs say that they are (RFC 3261 20.35, 20.41)."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple, Self

from .._grammar import BLANK, CONTROL_CHARS, SWS
from .._values import HeaderValue, assign, escape, need_text, need_token, skip_blanks, unquote
from ..errors import HeaderError
from ._lists import Reader, comment_end

_CONTROL: Final = re.compile(f"[{CONTROL_CHARS}]")
_PRODUCT: Final = re.compile(rf"([^{BLANK}(/]++)(?:{SWS}/{SWS}([^{BLANK}(]++))?|/")


class Product(NamedTuple):
    """A program in a Server or User-Agent value.

    Attributes:
        name: its name.
        version: what stands behind the `/`; None where there is none.
    """

    name: str
    version: str | None = None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}/{self.version}"


class Products(HeaderValue):
    """A Server or User-Agent value (RFC 3261 20.35, 20.41): programs, and comments in parentheses.

    Attributes:
        products: each program, a `Product`.
        comments: the text of each comment.

    `str()` is the text as it was sent. Equal are values with the same products and comments, letter by letter.
    """

    __slots__ = ("_text", "comments", "products")
    products: tuple[Product, ...]
    comments: tuple[str, ...]
    _text: str

    def __init__(self, products: Iterable[tuple[str, str | None]], *, comments: Iterable[str] = ()) -> None:
        """Build a value: the products, then the comments. Raises SerializeError."""
        made = tuple([_checked(*product) for product in products])
        texts = tuple([need_text(comment, "comment") for comment in comments])
        words = [str(product) for product in made]
        words += ["(" + escape(text, "()") + ")" for text in texts]
        assign(self, products=made, comments=texts, _text=" ".join(words))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a value. Any words are products, and a comment that is not closed goes on to the end."""
        control = _CONTROL.search(text)
        if control is not None:
            raise HeaderError("value holds a control character", offset=control.start())
        products: list[Product] = []
        comments: list[str] = []
        position = skip_blanks(text, 0)
        while position < len(text):
            if text[position] == "(":
                end = comment_end(text, position)
                comments.append(unquote(text[position + 1 : end - 1] if end > 0 else text[position + 1 :]))
                position = end if end > 0 else len(text)
            else:
                found = _PRODUCT.match(text, position)
                position = found.end()  # type: ignore[union-attr]  # it matches whatever is no blank and no comment
                if found[1]:  # type: ignore[index]
                    products.append(Product(found[1], found[2]))  # type: ignore[index]
            position = skip_blanks(text, position)
        return cls._of(products=tuple(products), comments=tuple(comments), _text=text.strip(BLANK))

    def _key(self) -> tuple[object, ...]:
        return self.products, self.comments

    def _head(self) -> str:
        return self._text


def _checked(name: str, version: str | None) -> Product:
    version = None if version is None else need_token(version, "version")
    return Product(need_token(name, "product"), version)


READERS: Final[dict[str, Reader]] = {"Server": Products.parse, "User-Agent": Products.parse}
