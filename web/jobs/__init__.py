"""Uploads, and work that outlives a request: a queue in the database, workers in processes of their own."""
