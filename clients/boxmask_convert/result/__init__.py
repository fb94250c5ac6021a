"""What a run makes: the output folder, what is counted, what failed."""
