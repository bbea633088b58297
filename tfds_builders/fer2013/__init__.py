"""FER2013: 48x48 grey faces with seven emotions, without the votes of FERPlus."""
