"""Reports: the result of a run as one HTML page, which needs no other file and makes no request."""
