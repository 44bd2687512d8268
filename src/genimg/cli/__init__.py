"""The command line: reading it, help, completion. No torch."""
