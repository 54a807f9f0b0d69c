"""Published sets and quarantined files, read for the pages with care and within bounds."""
