"""From a checked configuration to finished processes."""
