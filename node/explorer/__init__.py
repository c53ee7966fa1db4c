"""The explorer: a page that the node itself serves, for the person who has just started it.

`page/` holds HTML, CSS and JavaScript modules, with no build step; begin reading at `page/main.js`. `serving` serves
these files. The page asks only its own node, by the same requests that any other client has. It shows the content of
records as text only, and its headers make the browser enforce that.
"""

from node.explorer.serving import ROUTES

__all__ = ["ROUTES"]
