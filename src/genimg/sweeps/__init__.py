"""Many runs from one command: `-m`."""
