"""The tools as a client sees them: names, descriptions, inputs and outputs. Knows no MCP."""

if __name__ == "tools":
    raise ImportError("Import faion_finetuner.tools; the folder itself is not a package root.")
