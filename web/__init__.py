"""The radiologist's page and the API: one FastAPI application over `retrieval.service` and `chat`."""
