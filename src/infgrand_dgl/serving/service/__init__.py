"""A student behind HTTP: one model, one process. Only this folder needs FastAPI and uvicorn."""

PACKAGES = ("fastapi", "uvicorn", "prometheus_client")  # of the extra `serve`
