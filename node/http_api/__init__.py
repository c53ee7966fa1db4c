"""HTTP: how people and programs read a node and hand claims in (section 4 of the contract).

`routes` is the table of all requests and the place to begin reading. `app` serves the table. `read`, `listing`,
`history`, `write`, `operate` and `event_stream` answer. `caller` decides what a caller may do, and `problems` shapes a
refusal.
"""

from node.http_api.app import make_app, start, stop_listening, url_of
from node.http_api.parts import ApiParts
from node.http_api.routes import ROUTES

__all__ = ["ROUTES", "ApiParts", "make_app", "start", "stop_listening", "url_of"]
