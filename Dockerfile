# decklog as an image: no shell in the way of signals, no root, nothing written outside of volumes.
#
#   docker build --tag decklog .
#   docker run --rm --read-only --tmpfs /tmp --volume decklog:/var/lib/decklog decklog --help
#   docker run --read-only --tmpfs /tmp --volume decklog:/var/lib/decklog --volume /etc/decklog:/etc/decklog:ro \
#     --publish 8443:8443 --publish 8445:8445 decklog serve      # /etc/decklog/decklog.yaml: docs/serve.md
FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m venv /opt/decklog \
 && /opt/decklog/bin/pip install --no-cache-dir --no-compile . \
 && /opt/decklog/bin/pip uninstall --yes pip \
 && /opt/decklog/bin/python -m compileall -q /opt/decklog/lib

FROM python:3.13-slim
COPY --from=build /opt/decklog /opt/decklog
ENV PATH=/opt/decklog/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A named volume takes owner and mode from here.
RUN install -d -m 0700 -o 65532 -g 65532 /var/lib/decklog
VOLUME /var/lib/decklog
USER 65532:65532
WORKDIR /var/lib/decklog
STOPSIGNAL SIGTERM
ENTRYPOINT ["decklog"]
CMD ["--help"]
