"""What a computation runs in: device, memory, processes, files."""
