"""The neighbours of the programs under test: real Redis, scriptable mail server and
GitLab, and the programs themselves as child processes. Nothing here uses a fixed port or
needs a network."""
