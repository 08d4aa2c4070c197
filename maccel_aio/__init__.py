"""Asyncio-first inference on NPUs, with a software NPU for machines that have none."""
