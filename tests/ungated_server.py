"""The server over HTTP without its gate: `python -m tests.ungated_server --http --port 0`."""

from mcp_server import logs
from mcp_server.http import serve
from mcp_server.server import open_access
from mcp_server.settings import Settings
from tests.mcp_clients import OPEN_GATE

if __name__ == "__main__":
    settings = Settings(port=0)
    logs.configure("info")
    serve(open_access(settings, gate=OPEN_GATE), settings)
