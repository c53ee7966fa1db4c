"""HTTP: how people and programs read a node and hand claims in (section 4 of the contract).

`routes` is the table of all requests and the place to begin reading. `app` and `server` serve the table. `requests`
reads what a caller asks and decides what the caller may do, `handlers` has an answer to each request, and `answers`
shapes answers and refusals.
"""

from node.http_api.requests.parts import ApiParts
from node.http_api.requests.proxies import Proxies
from node.http_api.routes import ROUTES
from node.http_api.server import start, stop_listening, url_of

__all__ = ["ROUTES", "ApiParts", "Proxies", "start", "stop_listening", "url_of"]
