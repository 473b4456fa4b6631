"""Kafka for trying and testing: a real broker without Docker, the demo on it, and the same flow in Docker Compose."""
