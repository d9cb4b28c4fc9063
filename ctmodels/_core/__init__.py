"""What all of the library speaks of: series, models' promises, outputs; and how arguments and files are checked."""
