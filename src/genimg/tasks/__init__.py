"""The verbs of the command, one a file: `run(config) -> exit code`."""
