"""Variables of the environment that Kubernetes sets in every container for each service of its namespace.

Their names begin with the name of the service, so those of a service called `dnarc` or `dnarc-web` begin like the names
of our settings. See "Environment variables" in the Kubernetes documentation of services.
"""

import re
from typing import Final

_ADDRESS: Final = r"[0-9a-fA-F.:]+"
_URL: Final = rf"(tcp|udp|sctp)://({_ADDRESS}|\[{_ADDRESS}\]):[0-9]+"
_PORT: Final = r"_PORT_[0-9]+_(TCP|UDP|SCTP)"

_VARIABLES: Final = tuple(
    (re.compile(rf"DNARC(_[A-Z0-9]+)*{name}"), re.compile(value))
    for name, value in (
        ("_SERVICE_HOST", _ADDRESS),
        ("_SERVICE_PORT(_[A-Z0-9]+)*", "[0-9]+"),
        ("_PORT", _URL),
        (_PORT, _URL),
        (f"{_PORT}_PROTO", "tcp|udp|sctp"),
        (f"{_PORT}_PORT", "[0-9]+"),
        (f"{_PORT}_ADDR", _ADDRESS),
    )
)


def is_service_variable(name: str, value: str) -> bool:
    """Whether a variable that begins like a setting describes a service.

    Name and value must both fit, so that `DNARC_PORT=8081` remains a setting and `DNARC_WEB_PORT=8081` an error.
    """
    return any(names.fullmatch(name) and values.fullmatch(value) for names, values in _VARIABLES)
