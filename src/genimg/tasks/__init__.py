"""The tasks of the command, one per file. They import no torch until they run."""
