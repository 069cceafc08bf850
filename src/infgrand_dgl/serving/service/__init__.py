"""A student behind HTTP: one model, one process. Only this folder needs FastAPI and uvicorn."""
