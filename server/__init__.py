"""The two doors: the MCP server and the command line."""

if __name__ == "server":
    raise ImportError("Import faion_finetuner.server; the folder itself is not a package root.")
