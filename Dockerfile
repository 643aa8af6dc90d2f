# The gateway alone: one static binary, no shell, no root.
#
#   docker build --build-arg VERSION=1.2.3 -t awareid-gateway .

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY internal internal
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /gateway ./cmd/gateway
# The last stage has no mkdir, and a volume takes its owner from the folder it covers.
RUN mkdir /data

FROM scratch
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
