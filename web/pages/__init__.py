"""Pages that a radiologist opens: one file a page, each with a router."""
