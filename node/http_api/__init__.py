"""HTTP: how people and programs read a node and hand claims in (section 4 of the contract).

`routes` is the table of all requests and the place to begin reading. `app` and `server` serve the table. `read`,
`listing`, `history`, `write`, `operate` and `event_stream` answer. `caller` decides what a caller may do, and
`problems` shapes a refusal.
"""

from node.http_api.parts import ApiParts
from node.http_api.proxies import Proxies
from node.http_api.routes import ROUTES
from node.http_api.server import start, stop_listening, url_of

__all__ = ["ROUTES", "ApiParts", "Proxies", "start", "stop_listening", "url_of"]
