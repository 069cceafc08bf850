"""What a service counts, as Prometheus reads it."""

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
ROWS = tuple(4**k for k in range(7))


class Metrics:
    """Of one service: several may live in a process."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "infgrand_requests", "Requests answered.", ["path", "status"], registry=registry
        )
        self.seconds = Histogram(
            "infgrand_request_seconds",
            "From a request's headers to the end of its answer.",
            ["path"],
            buckets=SECONDS,
            registry=registry,
        )
        self.rows = Counter("infgrand_rows", "Rows predicted.", registry=registry)
        self.batches = Histogram(
            "infgrand_batch_rows", "Rows asked together.", buckets=ROWS, registry=registry
        )
        self.waiting = Gauge(
            "infgrand_waiting_rows", "Rows that wait for the model.", registry=registry
        )

    def text(self) -> bytes:
        return generate_latest(self.registry)
