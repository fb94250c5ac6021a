"""From a record of a dataset to a question: files, sizes, orientation."""
