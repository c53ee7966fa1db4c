"""HTTP: how people and programs ask a node, and hand claims in (section 4 of the contract).

`routes` is the table of all requests, and the place to begin reading. `app` serves it, `read`, `listing`, `write` and
`operate` answer, `caller` says who may, `problems` how a refusal looks.
"""

from node.http_api.app import make_app, start, stop_listening, url_of
from node.http_api.parts import ApiParts
from node.http_api.routes import ROUTES

__all__ = ["ROUTES", "ApiParts", "make_app", "start", "stop_listening", "url_of"]
