"""``python -m redisflow.cli``: the same as the command ``redisflow``."""

from __future__ import annotations

from redisflow.cli import main

if __name__ == "__main__":
    main()
