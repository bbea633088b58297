"""FERPlus: the faces of FER2013 with the votes of ten annotators."""
