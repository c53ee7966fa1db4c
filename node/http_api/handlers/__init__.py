"""Handlers: each answers one or more routes of the table in `node.http_api.routes`."""
