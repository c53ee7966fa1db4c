"""Passwords in URLs: no answer, log or table shows one."""

import re
from typing import Final

_OF_USER: Final = re.compile(r"//([^/?#@:]*):[^?#\s]*@")
_IN_QUERY: Final = re.compile(r"([?&]password=)[^&#\s]*")


def hidden(text: str) -> str:
    """The text without the passwords of the URLs in it. Any other text stays as it is."""
    return _IN_QUERY.sub(r"\1***", _OF_USER.sub(r"//\1:***@", text))
