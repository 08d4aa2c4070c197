"""The core: requests, admission, completion, streams, models and devices. Private."""
