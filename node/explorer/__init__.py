"""The explorer: a page that the node itself serves, for the person who has just started it.

`page/` holds it: HTML, CSS and JavaScript modules, as they are, with no build step; `page/main.js` is where to begin
reading. `serving` hands these files out. The page asks its own node for everything, by the same requests that any other
client has, and nobody else for anything; what a record holds is only ever text in it, which its headers make the
browser enforce.
"""

from node.explorer.serving import ROUTES

__all__ = ["ROUTES"]
