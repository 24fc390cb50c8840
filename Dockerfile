# One image, two entry points: the operator (the default) and the runner, which is what its pods call.
#
#   docker build -t cairn .                       from Docker Hub's slim Python
#   docker build --build-arg BASE=... -t cairn .  from any Debian with Python 3.11 to 3.13 and its venv
#
# An image of your own needs only a Python, `pip install cairn-workflows[postgres]`, and a user that is a number
# other than 0: runners are never root.
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/cairn
# What changes seldom comes first: a build after a change of code alone installs no dependency again.
COPY pyproject.toml README.md LICENSE ./
RUN python3 -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
        x = p["optional-dependencies"]; \
        print("\n".join(p["dependencies"] + x["encryption"] + x["postgres"] + x["redis"] + x["operator"] + x["otel"]))' > requirements.txt \
    && /opt/cairn/bin/pip install --requirement requirements.txt
COPY operator operator
COPY runtime runtime
# pip compiles what it installs: with a read-only root nobody could do it later. What is not used at run time
# goes: pip itself, and the models of the Kubernetes client, of which only the transport is used. That it can do
# without them is tried at once.
RUN /opt/cairn/bin/pip install --no-deps . \
    && /opt/cairn/bin/pip uninstall --yes pip setuptools \
    && find /opt/cairn/lib -type f ! -name '__init__*' \
        \( -path '*/kubernetes/*client/models/*' -o -path '*/kubernetes/*client/api/*' \) -delete \
    && /opt/cairn/bin/python -c 'import cairn_operator.process, cairn_runtime.runner.process; \
        import cryptography.hazmat.primitives.ciphers.aead; \
        from cairn_runtime.store.opening import store_for; store_for("postgresql://h/d"); store_for("redis://h")'

FROM ${BASE}
COPY --from=build /opt/cairn /opt/cairn
ENV PATH=/opt/cairn/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /tmp
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
CMD ["python", "-m", "cairn_operator"]
