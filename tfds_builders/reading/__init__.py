"""How the files of datasets, and the lists beside them, are read."""
