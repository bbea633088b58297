"""Regions of a face: where they lie (`boxes`) and how their pixels are cut out (`crop`)."""
