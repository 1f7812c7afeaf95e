"""The agents' door to the database: an MCP server that explains, in front of roles that enforce."""
