# The gateway alone: one static binary, no shell, no root.
#
#   docker build --build-arg VERSION=1.2.3 -t awareid-gateway .
#
# Nothing is written outside /data, unless SPOOL_DIR or STORE_FILE says so: run it with
# --read-only --cap-drop ALL --security-opt no-new-privileges. Ask /livez and /readyz about
# its health; a HEALTHCHECK would need a second program in here.

FROM golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY internal internal
ARG VERSION=dev
ARG REVISION=
# The flags of the Makefile, so that the bytes are those of make build.
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X main.version=${VERSION} -X main.revision=${REVISION}" -o /gateway ./cmd/gateway
# The last stage has no mkdir, and a volume takes its owner from the folder it covers.
RUN mkdir /data

FROM scratch
ARG VERSION=dev
ARG REVISION=
LABEL org.opencontainers.image.title="awareid-gateway" \
      org.opencontainers.image.description="Receives AwareID's webhooks and hands every event to Kafka once" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build --chown=65532:65532 /data /data
COPY --from=build /gateway /gateway
USER 65532:65532
# STORE_FILE is relative to this folder. It needs a volume that outlives the container
# wherever REDIS_URL is empty.
WORKDIR /data
VOLUME /data
EXPOSE 8080
ENTRYPOINT ["/gateway"]
