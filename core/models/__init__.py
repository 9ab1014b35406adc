"""Models: resolve a name, load, choose a dtype, ask; and what this machine has."""
