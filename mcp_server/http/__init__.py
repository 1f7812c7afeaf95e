"""Streamable HTTP: /mcp for agents who show who they are, /healthz for whoever watches.

The way of a request, from outside in; whoever is refused costs nothing of what comes after:
connection (serving.py, patience.py) → who is it (identity.py, tokens.py, oauth.py) → how often
(rates.py) → the whole body, and what it says (requests.py) → the SDK, which checks Host and Origin
→ the tools.
"""

from mcp_server.http.serving import serve

__all__ = ["serve"]
