# An image with the redisflow command: `docker build -t redisflow .`
FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/redisflow
COPY requirements/image.txt requirements/
RUN /opt/redisflow/bin/pip install --no-cache-dir --require-hashes -r requirements/image.txt
COPY pyproject.toml README.md LICENSE ./
COPY redisflow redisflow
COPY scripts/lua scripts/lua
# The build backend comes from the lock, too, and is not needed afterwards.
RUN /opt/redisflow/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
 && /opt/redisflow/bin/pip uninstall --yes hatchling

FROM python:3.13-slim
COPY --from=build /opt/redisflow /opt/redisflow
COPY docker/healthcheck.py /opt/redisflow/healthcheck.py
ENV PATH=/opt/redisflow/bin:$PATH PYTHONUNBUFFERED=1
RUN useradd --system --uid 10001 --create-home redisflow
USER redisflow
WORKDIR /flows
# In exec form: SIGTERM reaches the worker itself, which drains.
STOPSIGNAL SIGTERM
ENTRYPOINT ["redisflow"]
CMD ["--help"]
